"""A zoo as HDF5: bit for bit, in chunks of one state, readable by another process while it is written."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml

import zoo
from zoo import Zoo
from zoo.exporting import hdf5


@pytest.fixture(scope="module")
def exported(varied_zoo: Zoo, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return zoo.export(varied_zoo, "hdf5", tmp_path_factory.mktemp("h5") / "out", progress=False) / "zoo.h5"


def test_every_state_comes_back_bit_for_bit(exported: Path, varied_zoo: Zoo, same_bits: Callable[..., bool]) -> None:
    seen = 0
    with h5py.File(exported) as file:
        for group in file.values():
            for place, member_id in enumerate(group["columns/id"].asstr()):
                member = varied_zoo.find(member_id)
                assert np.array_equal(group["weights"][place], member.trajectory().numpy(), equal_nan=True)
                for state in (0, 1, -1):
                    assert same_bits(hdf5.state_dict_of(group, place, state), member.state_dict(state))
                seen += 1
    assert seen == len(varied_zoo)


def test_its_layout(exported: Path, varied_zoo: Zoo) -> None:
    with h5py.File(exported) as file:
        assert set(file) == set(varied_zoo.table["architecture"].to_pylist())
        for group in file.values():
            networks, states, parameters = group["weights"].shape
            assert group["weights"].chunks == (1, 1, parameters)
            assert group["written"][()] == networks
            assert group["columns/lr"].shape == (networks,)
            for name, values in varied_zoo.find(group["columns/id"].asstr()[0]).metrics.items():
                assert group[f"columns/{name}"].shape == (networks, states, *values.shape[1:])
        about = yaml.safe_load(file.attrs["about"])
    assert about["networks"] == 15


def test_columns_say_what_the_table_says(exported: Path, varied_zoo: Zoo) -> None:
    with h5py.File(exported) as file:
        for group in file.values():
            columns = group["columns"]
            for place, member_id in enumerate(columns["id"].asstr()):
                member = varied_zoo.find(member_id)
                assert columns["lr"][place] == member.row["lr"]
                assert columns["activation"].asstr()[place] == (member.row["activation"] or "")
                assert columns["epoch"][place].tolist() == member.epochs
                for name, values in member.metrics.items():
                    assert np.array_equal(columns[name][place], values, equal_nan=True)


def test_final_states_alone(varied_zoo: Zoo, tmp_path: Path) -> None:
    out = zoo.export(varied_zoo, "hdf5", tmp_path / "out", states="final", progress=False)
    with h5py.File(out / "zoo.h5") as file:
        for group in file.values():
            assert group["weights"].shape[1] == 1
            member = varied_zoo.find(group["columns/id"].asstr()[0])
            assert np.array_equal(group["weights"][0, 0], member.flat().numpy(), equal_nan=True)
            assert group["columns/epoch"][0].tolist() == member.epochs[-1:]


READER = """
import hashlib, json, sys, time
import h5py

path, networks = sys.argv[1], int(sys.argv[2])
seen = {}
deadline = time.monotonic() + 60
while time.monotonic() < deadline:
    try:
        file = h5py.File(path, "r", swmr=True)
        break
    except OSError:  # not there yet, or not yet open to readers
        time.sleep(0.01)
while sum(seen.values()) < networks and time.monotonic() < deadline:
    for name, group in file.items():
        group["written"].refresh()
        if int(group["written"][()]) > seen.get(name, 0):
            group["weights"].refresh()
            place = seen.get(name, 0)
            seen[name] = place + 1
            weights = hashlib.sha256(group["weights"][place].tobytes()).hexdigest()
            lr = float(group["columns/lr"][place])
            print(json.dumps({"id": group["columns/id"].asstr()[place], "weights": weights, "lr": lr}), flush=True)
"""


def test_another_process_reads_while_it_is_written(
    small_zoo: Zoo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = [sys.executable, "-c", READER, str(tmp_path / "out.partial" / "zoo.h5"), str(len(small_zoo))]
    seen, acknowledge = [], hdf5._Group.acknowledge
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as reader:
        assert reader.stdout is not None
        lines = reader.stdout

        def acknowledge_and_wait(group: hdf5._Group, written: int) -> None:
            acknowledge(group, written)
            # The writer goes on only when the reader has told of this network.
            seen.append(json.loads(lines.readline()))

        monkeypatch.setattr(hdf5._Group, "acknowledge", acknowledge_and_wait)
        monkeypatch.setattr(hdf5, "FLUSH", 1)
        zoo.export(small_zoo, "hdf5", tmp_path / "out", progress=False)
    assert reader.returncode == 0
    assert sorted(row["id"] for row in seen) == sorted(member.id for member in small_zoo)
    for row in seen:
        member = small_zoo.find(row["id"])
        assert row["weights"] == hashlib.sha256(member.trajectory().numpy().tobytes()).hexdigest()
        assert row["lr"] == member.row["lr"]


def test_what_is_not_written_yet_is_told_and_nan(small_zoo: Zoo, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "zoo.h5", "w", libver="latest") as file:
        hdf5._begin(file.create_group("one"), small_zoo.filter(family="cnn"), "all")
        assert np.isnan(file["one/weights"][0]).all()
        with pytest.raises(ValueError, match="expected a network below 0, which are written so far, got 0"):
            hdf5.state_dict_of(file["one"], 0)
