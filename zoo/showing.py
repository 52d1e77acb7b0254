"""A report on a zoo as text."""

from typing import Any


def show_info(report: dict[str, Any]) -> str:
    """The text of ``zoo info``."""
    state = "complete" if report["complete"] else f"{report['members']} of {report['planned']} networks so far"
    lines = [
        f"{report['folder']}: {state}",
        f"networks       {report['members']} ({_listed(report['families'])}; {_listed(report['status'])})",
        f"states         {report['states']}",
        f"architectures  {report['architectures']} in {report['shards']} shards, {report['size'] / 1e6:.1f} MB",
        f"splits         {_listed(report['splits'])}",
        _origin(report),
        f"versions       {', '.join(f'{k} {v}' for k, v in report['versions'].items())}",
    ]
    lines += [f"trainer        {_trainer(row)}" for row in report["trainers"]]
    lines += [f"topologies     {report['topologies']['traced']}"]
    lines += [f"untraceable    {count} recipes: {why}" for why, count in report["topologies"]["untraceable"].items()]
    return "\n".join([*lines, *_metric_lines(report["metrics"])])


def _origin(report: dict[str, Any]) -> str:
    """The data of a zoo that was built, the source of one that was imported."""
    imported = report["imported"]
    if imported is None:
        return f"data           {report['data']['name']} ({report['data']['fingerprint'][:16]})"
    size = f"{imported['files']} files, {imported['bytes'] / 1e6:.1f} MB; {imported['duplicates']} duplicates left out"
    return f"imported       {imported['format']} from {imported['source']} ({size})"


def _trainer(row: dict[str, Any]) -> str:
    stacks = f" in stacks of {row['stack']} on {row['device']}" if "stack" in row else ""
    return f"{row['name']} for {row['members']}{stacks}: {row['why']}"


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or "none"


def _metric_lines(metrics: dict[str, dict[str, float]]) -> list[str]:
    if not metrics:
        return []
    heads = list(next(iter(metrics.values())))
    names = {"0.0": "min", "0.5": "median", "1.0": "max"}
    titles = [names.get(head, f"{float(head):.0%}") for head in heads]
    rows = [f"{'last state':<15}" + "".join(f"{title:>10}" for title in titles)]
    return rows + [f"{name:<15}" + "".join(f"{values[h]:>10.4g}" for h in heads) for name, values in metrics.items()]
