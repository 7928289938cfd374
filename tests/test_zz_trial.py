import test_readme
from test_readme import folder  # noqa
def test_trial(folder, capsys):
    test_readme.check('''
```python
import promptmlr as pm
import torch
backbone = pm.load_backbone("scenes")
recognizer = pm.create_recognizer("positivecoop", backbone, pm.scenes.CLASS_NAMES)
regions = backbone.encode_image(torch.zeros(2, 3, backbone.image_size, backbone.image_size))
print(recognizer(regions).shape)
```
```console
$ promptmlr train labels.csv --backbone scenes --epochs 2 --out runs/mine
$ promptmlr evaluate runs/mine labels.csv
$ promptmlr predict runs/mine new-photos --out predictions.csv
```
```python
run = pm.load_run("runs/mine")
print(run.predict("new-photos").shape)
```
''')
    out = capsys.readouterr(); print(out.out, out.err)
    assert (folder/'predictions.csv').exists()
