"""A state machine as a picture (SVG) and as Mermaid text, without any drawing tool.

Main path from top to bottom, what an error leads to at its right, in the order of the
definition. The branches of a Parallel state stand side by side and meet again in what follows it.
No layout engine: a machine that needs one is too large to be read anyway.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

BOX_WIDTH, BOX_HEIGHT = 178, 42
COLUMN, ROW, MARGIN = 226, 84, 28
LEFT = 150  # where ways bend past boxes
COLOURS = {  # fill, border
    "Task": ("#eaf2fb", "#2f6db3"),
    "Choice": ("#fff6df", "#b07d12"),
    "Parallel": ("#eef1f4", "#5b6774"),
    "Pass": ("#f3f0fa", "#6b54a8"),
    "Wait": ("#f7f7f2", "#8a8a6a"),
    "Succeed": ("#e6f6ec", "#2b8a4b"),
    "Fail": ("#fdecea", "#b9382c"),
}
SQUARE = '["{0}"]'
FONT = 'font-family="Helvetica, Arial, sans-serif"'


@dataclass(frozen=True)
class Edge:
    """One way from state to state; `words` stand beside it, `caught` marks an error's way."""

    source: str
    target: str
    words: str = ""
    caught: bool = False


def all_states(machine: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Every state with those of branches, each after the Parallel state that it belongs to."""
    found: dict[str, Mapping[str, Any]] = {}
    for name, state in machine["States"].items():
        found[name] = state
        for branch in state.get("Branches", []):
            for inner, its_state in all_states(branch).items():
                ends = its_state.get("End") and "Next" in state
                found[inner] = {**its_state, "Next": state["Next"]} if ends else its_state
    return found


def edges(states: Mapping[str, Any]) -> Iterator[Edge]:
    """Every way that the definition knows, in its order."""
    for name, state in states.items():
        if "Branches" in state:
            for branch in state["Branches"]:
                yield Edge(name, branch["StartAt"])
        elif "Next" in state:
            yield Edge(name, state["Next"])
        for choice in state.get("Choices", []):
            yield Edge(name, choice["Next"], _condition(choice))
        if "Default" in state:
            yield Edge(name, state["Default"], "otherwise")
        for catch in state.get("Catch", []):
            errors = ", ".join(catch["ErrorEquals"])
            yield Edge(name, catch["Next"], "" if errors == "States.ALL" else errors, caught=True)


def _condition(choice: Mapping[str, Any]) -> str:
    """A Choice rule in a few words: `refused`, `vpc present`."""
    if "And" in choice:
        return " and ".join(_condition(part) for part in choice["And"])
    if "Or" in choice:
        return f"{_condition(choice['Or'][0])}, …"
    subject = str(choice["Variable"]).rsplit(".", 1)[-1]
    operator = next(key for key in choice if key not in ("Variable", "Next"))
    if operator == "BooleanEquals":
        return subject if choice[operator] else f"not {subject}"
    if operator == "IsPresent":
        return f"{subject} {'present' if choice[operator] else 'absent'}"
    return str(choice[operator]) if operator == "StringEquals" else f"{subject} {operator}"


def mermaid(definition: Mapping[str, Any]) -> str:
    """The machine as a Mermaid flowchart, which GitHub draws by itself."""
    shapes = {"Choice": '{{{{"{0}"}}}}', "Succeed": '(["{0}"])', "Fail": '[["{0}"]]'}
    states = all_states(definition)
    lines = ["flowchart TD", f"  start((start)) --> {definition['StartAt']}"]
    for name, state in states.items():
        lines.append(f"  {name}{shapes.get(state['Type'], SQUARE).format(name)}")
    for edge in edges(states):
        arrow = "-.->" if edge.caught else "-->"
        words = f'|"{edge.words}"|' if edge.words else ""
        lines.append(f"  {edge.source} {arrow}{words} {edge.target}")
    for kind, (fill, border) in COLOURS.items():
        members = [n for n, s in states.items() if s["Type"] == kind]
        if members:
            lines.append(f"  classDef {kind} fill:{fill},stroke:{border},color:#1d2733")
            lines.append(f"  class {','.join(members)} {kind}")
    return "\n".join(lines) + "\n"


def _places(definition: Mapping[str, Any]) -> dict[str, tuple[int, int]]:
    """Column and row of each state: rows by the longest way from the start."""
    states = all_states(definition)
    ways = _onward(definition["StartAt"], list(edges(states)))
    main = _rows(definition["StartAt"], ways, len(states))
    side: dict[str, int] = {}
    for way in ways:
        if way.target not in main:
            side.setdefault(way.target, main[way.source])
    for way in ways:  # what follows a state at the side may push the end down
        if way.source in side and way.target in main:
            main[way.target] = max(main[way.target], side[way.source] + 1)
    places: dict[str, tuple[int, int]] = {}
    for name, row in main.items():
        _place(places, name, 0, row)
    first_side = max(column for column, _ in places.values()) + 1
    for name, row in side.items():  # what several rows lead to stands outside
        rows = {main.get(way.source) for way in ways if way.target == name}
        _place(places, name, first_side + (len(rows) > 1), row)
    return places


def _onward(start: str, ways: list[Edge]) -> list[Edge]:
    """The ways without those that lead back into a state on the way to their source."""
    kept: list[Edge] = []
    done: set[str] = set()

    def walk(name: str, path: tuple[str, ...]) -> None:
        for way in ways:
            if way.source == name and way.target not in path:
                kept.append(way)
                if way.target not in done:
                    walk(way.target, (*path, way.target))
        done.add(name)

    walk(start, (start,))
    return [way for way in ways if way in kept]


def _rows(start: str, ways: list[Edge], limit: int) -> dict[str, int]:
    """The row of each state on a way of success; no such way is longer than `limit`."""
    rows = {start: 0}
    for _ in range(limit):  # relax until nothing moves
        for way in ways:
            if not way.caught and way.source in rows:
                rows[way.target] = max(rows.get(way.target, 0), rows[way.source] + 1)
    return rows


def _place(places: dict[str, tuple[int, int]], name: str, column: int, row: int) -> None:
    """Put a state into the first free column of its row, from `column` on."""
    while (column, row) in places.values():
        column += 1
    places[name] = (column, row)


def svg(definition: Mapping[str, Any]) -> str:
    """The machine as a picture; solid lines are its ways, dashed red ones an error's."""
    places = _places(definition)
    width = LEFT + MARGIN + COLUMN * max(c for c, _ in places.values()) + BOX_WIDTH
    height = 2 * MARGIN + ROW * max(r for _, r in places.values()) + BOX_HEIGHT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" role="img">',
        f"<title>{escape(definition['Comment'])}</title>",
        '<rect width="100%" height="100%" fill="#ffffff"/>',
        _marker("way", "#5b6774"),
        _marker("error", "#c0564b"),
    ]
    states = all_states(definition)
    parts += [_line(edge, places) for edge in edges(states)]
    parts += [_box(name, state["Type"], places[name]) for name, state in states.items()]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _marker(name: str, colour: str) -> str:
    return (
        f'<marker id="{name}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
        f'markerHeight="7" orient="auto"><path d="M0,0 L8,4 L0,8 z" fill="{colour}"/></marker>'
    )


def _corner(place: tuple[int, int]) -> tuple[int, int]:
    return LEFT + COLUMN * place[0], MARGIN + ROW * place[1]


def _box(name: str, kind: str, place: tuple[int, int]) -> str:
    x, y = _corner(place)
    fill, border = COLOURS[kind]
    radius = BOX_HEIGHT // 2 if kind in ("Succeed", "Fail") else 6
    style = f'fill="{fill}" stroke="{border}" stroke-width="1.5"'
    if kind == "Choice":
        cut, right, low, middle = 16, x + BOX_WIDTH, y + BOX_HEIGHT, y + BOX_HEIGHT // 2
        points = (
            f"{x},{middle} {x + cut},{y} {right - cut},{y} "
            f"{right},{middle} {right - cut},{low} {x + cut},{low}"
        )
        shape = f'<polygon points="{points}" {style}/>'
    else:
        shape = (
            f'<rect x="{x}" y="{y}" width="{BOX_WIDTH}" height="{BOX_HEIGHT}" '
            f'rx="{radius}" {style}/>'
        )
    text = (
        f'<text x="{x + BOX_WIDTH // 2}" y="{y + BOX_HEIGHT // 2 + 5}" {FONT} font-size="14" '
        f'text-anchor="middle" fill="#1d2733">{escape(name)}</text>'
    )
    return shape + text


def _line(edge: Edge, places: Mapping[str, tuple[int, int]]) -> str:
    """A curve from box to box, with its words near where it ends."""
    way, at = _way(edge, places)
    colour, name = ("#c0564b", "error") if edge.caught else ("#5b6774", "way")
    dash = ' stroke-dasharray="5 4"' if edge.caught else ""
    path = (
        f'<path d="{way}" fill="none" stroke="{colour}" stroke-width="1.4"{dash} '
        f'marker-end="url(#{name})"/>'
    )
    if not edge.words:
        return path
    anchor = "start" if not edge.caught and at[0] > LEFT else "end"
    return path + (
        f'<text x="{at[0]}" y="{at[1]}" {FONT} font-size="11" text-anchor="{anchor}" '
        f'fill="{colour}">{escape(edge.words)}</text>'
    )


def _way(edge: Edge, places: Mapping[str, tuple[int, int]]) -> tuple[str, tuple[int, int]]:
    """The path of a line, and where its words stand."""
    (column1, row1), (column2, row2) = places[edge.source], places[edge.target]
    (x1, y1), (x2, y2) = _corner(places[edge.source]), _corner(places[edge.target])
    half_w, half_h = BOX_WIDTH // 2, BOX_HEIGHT // 2
    if edge.caught and row1 == row2:
        blocked = any(c in range(column1 + 1, column2) and r == row1 for c, r in places.values())
        bend = -36 if blocked else 0  # over the boxes between
        start, end = (x1 + BOX_WIDTH, y1 + half_h), (x2, y2 + half_h)
        curve = f"C{start[0] + 24},{start[1] + bend} {end[0] - 24},{end[1] + bend}"
        return f"M{start[0]},{start[1]} {curve} {end[0]},{end[1]}", (x2 - 8, end[1] + bend // 2 - 6)
    if edge.caught:  # to a box of another row: below the own row, then up or down
        x, below = x1 + BOX_WIDTH - 24, y1 + BOX_HEIGHT + 18
        end = (x2 + half_w, y2 + BOX_HEIGHT if row2 <= row1 else y2)
        way = f"M{x},{below - 18} V{below} H{end[0]} L{end[0]},{end[1]}"
        return way, (end[0] - 6, below - 4)
    if column1 == column2 and row2 != row1 + 1:  # past the boxes between, or back
        bend = x1 - min(LEFT - 20, 30 + 14 * abs(row2 - row1))
        start, end = (x1, y1 + half_h), (x2, y2 + half_h)
        curve = f"C{bend},{start[1]} {bend},{end[1]}"
        return f"M{start[0]},{start[1]} {curve} {end[0]},{end[1]}", (x2 - 14, end[1] - 6)
    start, end = (x1 + half_w, y1 + BOX_HEIGHT), (x2 + half_w, y2)
    curve = f"C{start[0]},{start[1] + 26} {end[0]},{end[1] - 26}"
    return f"M{start[0]},{start[1]} {curve} {end[0]},{end[1]}", (end[0] + 6, end[1] - 10)
