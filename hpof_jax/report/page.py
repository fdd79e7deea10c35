"""The report as one HTML page without network: it reads well on a phone, by day and by night."""

import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any
from urllib.parse import quote

from hpof_jax.motion import CONFIDENT
from hpof_jax.report import judge

COLUMNS = 240  # at most so many columns of a strip; each shows its worst frame
# Upper bounds of the first three of the four levels: good, fair, poor, bad.
LEVELS = {
    "doubt": (0.2, 0.35, 1 - CONFIDENT),
    "fit": (0.4 * judge.MISFIT, 0.7 * judge.MISFIT, judge.MISFIT),
    "jitter": (0.3 * judge.SHAKING, 0.6 * judge.SHAKING, judge.SHAKING),
    "slide": (0.25 * judge.SLIDING, 0.6 * judge.SLIDING, judge.SLIDING),
}

STYLE = """
:root { color-scheme: light dark; --page: #fff; --text: #1b1f24; --dim: #59636e; --line: #d0d7de;
  --level0: #b7dfc3; --level1: #f3e3a3; --level2: #f2b579; --level3: #d9534a; --none: #e6e8eb; --link: #0957b8; }
@media (prefers-color-scheme: dark) { :root { --page: #14171b; --text: #e8eaed; --dim: #9aa4af; --line: #363c44;
  --level0: #2f6b45; --level1: #8a7a2c; --level2: #b06a2b; --level3: #e0564c; --none: #2a2f36; --link: #79b1ff; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 60rem; padding: 1rem; background: var(--page); color: var(--text);
  font: 16px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; margin: .3em 0; } h2 { font-size: 1.15rem; margin: 2em 0 .5em; }
p, .dim { color: var(--dim); } .lead { color: var(--text); font-size: 1.1rem; }
a { color: var(--link); } ul { padding-left: 1.2rem; } li { margin: .2em 0; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: .6rem; }
.facts div { border: 1px solid var(--line); border-radius: .5rem; padding: .6rem .8rem; }
.facts b { display: block; font-size: 1.4rem; } .facts span { color: var(--dim); font-size: .9rem; }
.strip { display: grid; grid-template-columns: 6.5rem 1fr; gap: .5rem; align-items: center; margin: 3px 0; }
.strip span { font-size: .9rem; text-align: right; white-space: nowrap; }
svg { display: block; width: 100%; height: 1.3rem; border-radius: 3px; background: var(--none); }
.axis { display: flex; justify-content: space-between; margin-left: 7rem; color: var(--dim); font-size: .8rem; }
.l0 { fill: var(--level0); } .l1 { fill: var(--level1); } .l2 { fill: var(--level2); } .l3 { fill: var(--level3); }
.key { display: inline-block; width: .9em; height: .9em; border-radius: 2px; vertical-align: -1px; margin: 0 .2em 0 .8em; }
table { border-collapse: collapse; width: 100%; } th, td { text-align: left; padding: .3rem .6rem .3rem 0;
  border-bottom: 1px solid var(--line); vertical-align: top; } td.n, th.n { text-align: right; white-space: nowrap; }
td small { display: block; color: var(--dim); }
pre { overflow-x: auto; border: 1px solid var(--line); border-radius: .5rem; padding: .8rem; font-size: .8rem; }
"""


def page(report: Mapping[str, Any], overlay: str | None = None) -> str:
    """The page of a report from `hpof_jax.report.make`; warnings link to the file `overlay` beside it."""
    name = report["made_with"].get("video", {}).get("name", "")
    title = f"Reconstruction of {name}" if name else "Reconstruction"
    sections = [
        f"<h1>{escape(title)}</h1>",
        _facts(report),
        "<h2>When not to trust it</h2>",
        _warnings(report["warnings"], overlay),
        "<h2>Over time</h2>",
        _strips(report),
        "<h2>In numbers</h2>",
        _numbers(report),
        "<h2>Shape</h2>",
        _shape(report["shape"]),
        "<h2>Camera and person</h2>",
        _camera(report),
        "<h2>To make it again</h2>",
        f"<pre>{escape(json.dumps(report['made_with'], indent=2, ensure_ascii=False))}</pre>",
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n"
        + "\n".join(sections)
        + "\n</body>\n</html>\n"
    )


def _facts(report: Mapping[str, Any]) -> str:
    fits = [
        part["mean"] for part in report["reprojection_percent_of_box"].values() if part["mean"] is not None
    ]
    facts = {
        "of the frames have no warning": f"{100 * report['share_without_warning']:.0f} %",
        "of the poses are expected to be right": f"{100 * report['confidence']['mean']:.0f} %",
        "of the frames show the person": f"{100 * report['coverage']['seen_share']:.0f} %",
        "of the person's box: mean error in the picture": f"{sum(fits) / len(fits):.1f} %"
        if fits
        else "none",
        f"frames, {report['seconds']:.1f} s": f"{report['frames']}",
    }
    boxes = "".join(f"<div><b>{value}</b><span>{what}</span></div>" for what, value in facts.items())
    return f'<div class="facts">{boxes}</div>'


def _warnings(warnings: Sequence[Mapping[str, Any]], overlay: str | None) -> str:
    if not warnings:
        items = '<p class="lead">Nothing conspicuous was measured.</p>'
    else:
        items = "<ul>" + "".join(f"<li>{_linked(warning, overlay)}</li>" for warning in warnings) + "</ul>"
    return items + (
        "<p>These warnings compare the body with the detector's landmarks in the picture; there is no ground truth. On "
        "rendered test clips an arm or leg that “does not fit” was wrong by more than 10 cm in 6 of 10 "
        "frames, against 2 of 10 on average. Many errors are not found: depth and tilt hardly show in the "
        "picture.</p>"
    )


def _linked(warning: Mapping[str, Any], overlay: str | None) -> str:
    text = escape(warning["text"])
    if overlay is None or "seconds" not in warning:
        return text
    frames, _, rest = text.partition(":")
    start = max(warning["seconds"][0], 0.0)
    return f'<a href="{quote(overlay)}#t={start:.2f}">{frames}</a>:{rest}'


def _strips(report: Mapping[str, Any]) -> str:
    over_time = report["over_time"]
    rows = {"seen": [0 if seen else 3 for seen in over_time["seen"]]}
    rows["confidence"] = _levels([1 - value for value in over_time["confidence"]], LEVELS["doubt"])
    for part, values in over_time["reprojection_percent_of_box"].items():
        rows[part] = _levels(values, LEVELS["fit"])
    rows["steadiness"] = _levels(over_time["acceleration_m_s2"], LEVELS["jitter"])
    for foot, values in over_time["foot_slide_m_s"].items():
        rows[foot] = _levels(values, LEVELS["slide"])
    strips = "".join(
        f'<div class="strip"><span>{name}</span>{_strip(levels, name)}</div>' for name, levels in rows.items()
    )
    first, last = over_time["frame"][0], over_time["frame"][-1]
    middle = over_time["frame"][len(over_time["frame"]) // 2]
    keys = "".join(
        f'<span class="key" style="background:var(--{color})"></span>{text}'
        for color, text in (
            ("level0", "good"),
            ("level1", "fair"),
            ("level2", "poor"),
            ("level3", "warned"),
            ("none", "not measured"),
        )
    )
    return (
        f'{strips}<div class="axis"><span>frame {first}</span><span>{middle}</span><span>{last}</span></div>'
        f"<p>{keys}<br>Parts of the body: distance from the detector's landmarks. Steadiness: acceleration. Feet: "
        "how fast a planted foot slides.</p>"
    )


def _levels(values: Sequence[float | None], bounds: Sequence[float]) -> list[int | None]:
    return [None if value is None else sum(value > bound for bound in bounds) for value in values]


def _strip(levels: Sequence[int | None], name: str) -> str:
    """An SVG row of coloured runs."""
    step = -(-len(levels) // COLUMNS)
    columns = []
    for start in range(0, len(levels), step):
        known = [level for level in levels[start : start + step] if level is not None]
        columns.append(max(known) if known else None)
    runs, start = [], 0
    for column in range(1, len(columns) + 1):
        if column == len(columns) or columns[column] != columns[start]:
            if columns[start] is not None:
                width = column - start
                runs.append(f'<rect class="l{columns[start]}" x="{start}" width="{width}" height="1"/>')
            start = column
    return (
        f'<svg viewBox="0 0 {len(columns)} 1" preserveAspectRatio="none" shape-rendering="crispEdges" role="img" '
        f'aria-label="{name} over time">{"".join(runs)}</svg>'
    )


def _numbers(report: Mapping[str, Any]) -> str:
    def number(value: float | None, unit: str) -> str:
        return "–" if value is None else f"{value:.2f} {unit}" if unit == "m/s" else f"{value:.1f} {unit}"

    rows = [
        (
            f"{part}: error in the picture",
            values,
            "%",
            f"visible in {100 * values['visible_share']:.0f} % of the frames",
        )
        for part, values in report["reprojection_percent_of_box"].items()
    ]
    rows.append(("acceleration of the joints", report["acceleration_m_s2"], "m/s²", ""))
    rows += [
        (f"{foot}: slide", values, "m/s", f"planted in {100 * values['planted_share']:.0f} % of the frames")
        for foot, values in report["foot_slide_m_s"].items()
    ]
    body = "".join(
        f'<tr><td>{name}<small>{remark}</small></td><td class="n">{number(values["mean"], unit)}</td>'
        f'<td class="n">{number(values["percentile_95"], unit)}</td></tr>'
        for name, values, unit, remark in rows
    )
    return (
        '<table><tr><th></th><th class="n">mean</th><th class="n">high</th></tr>'
        f"{body}</table><p>High: the 95th percentile. Errors in the picture are in % of the side of the square around the person.</p>"
    )


def _shape(shape: Mapping[str, Any]) -> str:
    rows = {"stature": shape["stature_m"], **shape["lengths_m"]}
    cells = "".join(
        f'<tr><td>{name}</td><td class="n">{100 * value:.0f} cm</td></tr>' for name, value in rows.items()
    )
    return f"<table>{cells}</table><p>One shape for the whole clip. Stature is a guess; proportions are better.</p>"


def _camera(report: Mapping[str, Any]) -> str:
    camera, identity, coverage = report["camera"], report["identity"], report["coverage"]
    rows = {
        "focal length": f"{camera['focal_length_px']:.0f} pixels, a field of view of "
        f"{camera['horizontal_fov_degrees']:.0f}° across: {camera['why']}",
        "camera motion": camera["motion"],
        "fit to the video": report["fit"],
        "person": identity["person"],
        "changes of person": identity["switches"],
        "cuts": ", ".join(f"frame {number}" for number in coverage["cuts"]) or "none found",
    }
    cells = "".join(f"<tr><td>{name}</td><td>{escape(str(value))}</td></tr>" for name, value in rows.items())
    return f"<table>{cells}</table>"
