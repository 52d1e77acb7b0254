"""The command `graphs inspect`: help that teaches at once, readable tables, JSON, one line an error, exit codes."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import graphs
from graphs.__main__ import main
from graphs.inspection import report
from graphs.showing import show

ROOT = Path(__file__).parents[2]
CODE = """
import torch
from torch import nn

def make_net(width=8):
    return nn.Sequential(nn.Conv2d(3, width, 3), nn.ReLU(), nn.Flatten(), nn.Linear(width * 9, 2))

class Masked(nn.Module):
    def __init__(self):
        super().__init__()
        self.tokens, self.head = nn.Embedding(50, 6), nn.Linear(6, 4)

    def forward(self, tokens, mask):
        return self.head(self.tokens(tokens) * mask[..., None]).tanh()

class Counts(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 3)

    def forward(self, x):
        return self.linear(x).argmax(-1)

class Moody(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(4, 3), nn.Linear(3, 2)

    def forward(self, x):
        hidden = self.first(x)
        hidden = hidden.tanh() if x.sum() > 0 else hidden.sigmoid()
        return self.last(hidden) + torch.randn(2)

def broken():
    raise KeyError("no such layer")

number = 3
"""


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of an importable module of the user's."""
    (tmp_path / "nets_to_inspect.py").write_text(CODE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "nets_to_inspect", raising=False)
    return "nets_to_inspect"


@pytest.mark.parametrize("command", [[], ["inspect"], ["draw"]])
def test_help_teaches_without_torch(command: list[str]) -> None:
    lines = ["import sys", "from graphs.__main__ import main"]
    lines += [f"try: main({[*command, '--help']})", "finally: print('torch' in sys.modules)"]
    code = "\n".join(lines)
    shown = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "examples:" in shown
    assert shown.splitlines()[-1] == "False"


def test_json_is_the_topology(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "resnet", "--kwargs", '{"widths": [4, 8], "blocks": [1, 1]}', "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    recipe = graphs.Recipe("resnet", {"widths": [4, 8], "blocks": [1, 1]})
    topology = graphs.trace(recipe.build(), *recipe.example_input())
    assert told["digest"] == topology.digest
    assert told["sizes"]["nodes"] == 3 + 3 * 4 + 3 * 8 + 10
    assert told["sizes"]["edges"] == 3 * 4 + 2 * 16 + 32 + 64 + 32 + 80 + 4 + 8
    assert told["sizes"]["edge_index_bytes_avoided"] == 2 * 8 * told["sizes"]["edges"]
    assert told["certificate"]["passed"]
    assert told["certificate"]["max_error"] < 1e-9
    stream = next(g for g in told["groups"] if g["kind"] == "hidden" and len(g["sites"]) == 2 and g["size"] == 4)
    assert [told["sites"][s]["path"] for s in stream["sites"]] == ["stem", "blocks.0.conv2"]
    head = next(b for b in told["blocks"] if b["parameter"] == "head.weight")
    assert (head["kind"], head["edges"], head["shape"]) == ("linear", 80, [10, 8])
    assert told["sites"][head["source"]]["path"] == "blocks.1.shortcut.0"
    assert {r["kind"] for r in told["relations"]} == {"identity"}


def test_tables_are_aligned_and_name_every_site(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "gpt", "--kwargs", '{"depth": 1}']) == 0
    shown = capsys.readouterr().out
    tables = {part.splitlines()[0].split(":")[0]: part.splitlines()[1:] for part in shown.split("\n\n")[1:]}
    assert list(tables) == ["groups", "sites", "blocks", "features", "relations"]
    heads, *rows = tables["sites"]
    start = heads.index("path")
    paths = [row[start:] for row in rows]
    assert all(row[start - 2 : start] == "  " for row in rows)
    assert paths[3] == "blocks.0.attention.qkv"
    assert next(row for row in rows if row.endswith("mlp.0")).split()[:6] == ["8", "4", "64", "hidden", "5", "gelu"]
    assert "certificate  passed: max error" in shown
    assert "pinned       nothing" in shown


def test_the_sample_of_the_readme_is_what_its_command_prints(capsys: pytest.CaptureFixture[str]) -> None:
    command, *sample = re.findall(r"```console\n\$ graphs (.*?)```", (ROOT / "README.md").read_text(), re.S)[
        0
    ].splitlines()
    assert main(shlex.split(command)) == 0
    shown = re.sub(r"max error \S+,", "max error", capsys.readouterr().out).splitlines()
    assert sample[-1] == "..."
    assert {re.sub(r"max error \S+,", "max error", line) for line in sample[:-1]} <= set(shown)


def test_own_factory_tokens_and_keyword_inputs(code: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", f"{code}:make_net", "--kwargs", '{"width": 5}', "--input-shape", "1,3,5,5", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["groups"][1]["size"] == 5
    shapes = ["--input-shape", "2,7", "--input-shape", "mask=2,7"]
    types = ["--input-dtype", "int64", "--input-dtype", "float32", "--input-max", "50"]
    assert main(["inspect", f"{code}:Masked", *shapes, *types, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["certificate"]["passed"]
    assert (told["groups"][0]["kind"], told["groups"][0]["size"]) == ("vocabulary", 50)


def test_no_certify_says_nothing_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "mlp", "--no-certify"]) == 0
    assert "certificate" not in capsys.readouterr().out
    assert main(["inspect", "mlp", "--no-certify", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["certificate"] is None


def test_what_cannot_be_certified_is_told_with_exit_code_1(code: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", f"{code}:Counts", "--input-shape", "2,4"]) == 1
    shown = capsys.readouterr().out
    assert "certificate  NONE: expected a floating output to compare" in shown
    assert "linear.weight" in shown


def test_pinned_operations_are_told_with_their_reason() -> None:
    class Sorts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.last = nn.Linear(3, 5), nn.Linear(5, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(torch.special.spherical_bessel_j0(self.first(x)).cummax(-1).values)

    topology = graphs.trace(Sorts(), torch.zeros(2, 3))
    shown = show("sorts", report(topology))
    assert topology.pinned
    for what, count in topology.pinned.items():
        assert f"{count} neurons by {what} (no rule for this use of the operation)" in shown


def test_scale_and_sign_symmetries_on_demand(capsys: pytest.CaptureFixture[str]) -> None:
    recipe = ["mlp", "--kwargs", '{"inputs": 4, "hidden": [6], "outputs": 2}']
    assert main(["inspect", *recipe, "--scale"]) == 0
    shown = capsys.readouterr().out
    assert "6 positive factors and 0 signs are free" in shown
    assert "1  positive  linear0.bias * s, linear0.weight * s, head.weight / s" in shown
    assert main(["inspect", *recipe, "--scale", "--json"]) == 0
    [scale] = json.loads(capsys.readouterr().out)["scales"]
    assert {(s["parameter"], s["exponent"]) for s in scale["slices"]} == {
        ("linear0.weight", 1),
        ("linear0.bias", 1),
        ("head.weight", -1),
    }
    assert main(["inspect", *recipe, "--json", "--no-certify"]) == 0
    assert json.loads(capsys.readouterr().out)["scales"] is None


def test_paths_and_random_numbers_are_told(code: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", f"{code}:Moody", "--input-shape", "1,4"]) == 0
    shown = capsys.readouterr().out
    assert "2 paths through the network, as the inputs choose" in shown
    assert re.search(r"random: .*; every run drew the same numbers", shown)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["nowhere:net"], "cannot import the module 'nowhere'"),
        (["lenet"], "unknown family 'lenet'; choose one of mlp, siren"),
        (["{code}:nothing", "--input-shape", "1"], "has no 'nothing'; it has "),
        (["{code}:number", "--input-shape", "1"], "'int' object is not callable"),
        (["{code}:broken", "--input-shape", "1"], "KeyError: 'no such layer'"),
        (["{code}:make_net"], "expected a shape for each of them, such as --input-shape 1,3,32,32"),
        (["{code}:make_net", "--input-shape", "1,3,6,6"], "check that the inputs have the shapes"),
        (["{code}:make_net", "--input-shape", "1x3"], "expected a shape of whole numbers"),
        (["{code}:make_net", "--input-shape", "1,3,5,5", "--input-dtype", "floating"], "got 'floating'"),
        (["{code}:make_net", "--input-shape", "1,3", "--input-dtype", "bool", "--input-dtype", "bool"], "(1), got 2"),
        (["{code}:make_net", "--input-shape", "1,3", "--input-max", "0"], "of at least 1"),
        (["{code}:make_net", "--input-shape", "1,3", "--kwargs", "{"], "expected --kwargs as a JSON object"),
        (["{code}:make_net", "--input-shape", "1,3", "--kwargs", "[8]"], "got [8]"),
        (["mlp", "--kwargs", '{"deep": 3}'], "does not take the arguments {'deep': 3}"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    arguments: list[str], told: str, code: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status = main(["inspect", *(word.replace("{code}", code) for word in arguments)])
    error = capsys.readouterr().err
    assert status == 2
    assert told in error
    assert error.count("\n") == 1
