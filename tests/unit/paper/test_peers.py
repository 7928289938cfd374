"""Numbers of other publications: whole, with sources, and shown only where data set and labels are the same."""

from typing import get_args

import pytest

from promptmlr.data.options import Benchmark
from promptmlr.paper.grid.peers import all_peers, all_sources, peer_findings
from promptmlr.paper.grid.published import published_sources
from promptmlr.report.findings import as_text


def test_every_number_is_a_share_in_percent_of_a_known_data_set_and_has_a_source() -> None:
    peers, sources = all_peers(), all_sources()
    assert {one.benchmark for one in peers} <= {*get_args(Benchmark), "coco48-17"}
    assert all(0 < float(one.mean_ap) < 100 for one in peers)
    assert {one.source for one in peers} | published_sources() == set(sources)
    assert all(one.work and one.place and one.seen_in for one in sources.values())
    keys = [(one.benchmark, one.observed, one.setting) for one in peers]
    assert len(set(keys)) == len(keys)


def test_dualcoop_run_again_stands_beside_the_paper() -> None:
    text = as_text(peer_findings("coco2014", [0.1, 0.5]))
    [again] = [line for line in text.splitlines() if line.startswith("DualCoOp, run again")]
    assert again.split()[3:5] == ["80.8", "83.5"]
    assert "Class Concept Representation" in text
    assert "68.8" in text  # TagCLIP, without labels
    assert "SCPNet" not in text  # single positive


def test_only_the_same_labels_are_shown() -> None:
    text = as_text(peer_findings("nuswide", ["single-positive"]))
    assert "62.0" in text
    assert "DualCoOp, run again" not in text
    gzsl = as_text(peer_findings("coco48-17", [1.0]))
    assert [line.split()[1:3] for line in gzsl.splitlines() if line.startswith("DualCoOp  ")] == [
        ["78.2", "unseen"],
        ["70.2", "all"],
        ["82.9", "unseen"],
        ["74.9", "all"],
    ]
    assert peer_findings("vg200", [0.1]) == []
    assert peer_findings(None, [0.1]) == []


@pytest.mark.parametrize("key", sorted(all_sources()))
def test_a_source_says_where_it_was_read(key: str) -> None:
    assert str(all_sources()[key]).startswith(f"{key}: ")
