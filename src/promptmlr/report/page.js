for (const table of document.querySelectorAll("table")) {
  const body = table.tBodies[0], heads = [...table.tHead.rows[0].cells];
  if (body.rows.length < 2) continue;
  heads.forEach((head, column) => {
    const value = row => {
      const text = row.cells[column].textContent.trim();
      const number = parseFloat(text.replace("\u2212", "-").replace(/(\d),(?=\d{3})/g, "$1"));
      return [Number.isNaN(number), number, text];
    };
    const button = document.createElement("button");
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach(other => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const rows = [...body.rows].map(row => [value(row), row]).sort(([a], [b]) =>
        a[0] - b[0] || (down ? -1 : 1) * (a[0] ? a[2].localeCompare(b[2]) : a[1] - b[1]));
      body.append(...rows.map(([, row]) => row));
    });
  });
}
