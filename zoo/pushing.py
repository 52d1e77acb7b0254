"""Sending a zoo to the Hugging Face hub as a data set."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from zoo.exporting.targets import export
from zoo.manifest import NAME
from zoo.store import Zoo, open_zoo


def push(
    zoo: Zoo | str | Path,
    repo_id: str,
    licence: str = "unknown",
    private: bool = False,
    api: Any = None,
    progress: bool = True,
) -> str:
    """Export a zoo as a Hugging Face data set and send it to the hub; returns its address.

    Args:
        zoo: an open zoo, its folder, or a folder that ``zoo export --to hf`` wrote, which is sent as it is.
        repo_id: ``user/name`` of the data set, made where it is new; what is there already is kept or replaced.
        licence: of the weights, as the hub spells it.
        private: whether a new data set is private.
        api: a ``huggingface_hub.HfApi``; by default one with the token of this machine.

    Raises ValueError for a bad ``repo_id``, an empty zoo and where there is no token; RuntimeError when the hub refuses
    or cannot be reached.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.utils import validate_repo_id

    validate_repo_id(repo_id)
    zoo = zoo if isinstance(zoo, Zoo) or _is_exported(Path(zoo)) else open_zoo(zoo)
    api = api or HfApi()
    # Asked first: an export may take long.
    with _told(repo_id):
        api.whoami()
    with _exported(zoo, licence, progress) as folder, _told(repo_id):
        api.create_repo(repo_id, repo_type="dataset", private=private, exist_ok=True)
        api.upload_folder(repo_id=repo_id, repo_type="dataset", folder_path=folder, commit_message="A zoo")
    return f"https://huggingface.co/datasets/{repo_id}"


def _is_exported(folder: Path) -> bool:
    return (folder / "README.md").is_file() and (folder / "data").is_dir() and not (folder / NAME).exists()


@contextmanager
def _exported(zoo: Zoo | str | Path, licence: str, progress: bool) -> Iterator[Path]:
    """The folder to send; one that is made for it lies beside the zoo, where there is room for its like."""
    if not isinstance(zoo, Zoo):
        yield Path(zoo)
        return
    with TemporaryDirectory(prefix=f"{zoo.root.name}.push-", dir=zoo.root.absolute().parent) as scratch:
        yield export(zoo, "hf", Path(scratch) / "data_set", licence=licence, progress=progress)


@contextmanager
def _told(repo_id: str) -> Iterator[None]:
    """Say what the hub's errors mean and what to do."""
    from huggingface_hub.errors import HTTPError, LocalTokenNotFoundError  # pyright: ignore[reportPrivateImportUsage]

    try:
        yield
    except LocalTokenNotFoundError as error:
        raise ValueError(
            f"expected a token of the Hugging Face hub to send {repo_id}, got none; run `hf auth login`, or set "
            "HF_TOKEN to a token that may write"
        ) from error
    except (HTTPError, ConnectionError) as error:
        raise RuntimeError(
            f"the Hugging Face hub did not take {repo_id}: {error}; check the connection, the name and what the token "
            "may do; nothing of the zoo was changed"
        ) from error
