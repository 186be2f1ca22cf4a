"""The style of card.html: light, dark and paper from the same page."""

from __future__ import annotations

STYLE = """
:root{color-scheme:light dark;--ground:#fff;--ink:#1c2024;--soft:#5b6570;--edge:#d7dce1;
--panel:#f6f7f9;--a:#1f5fbf;--b:#b4540a;--c:#2f7d4f;--d:#7a3fa0;--pass:#1a7f37;--fail:#b42318}
@media screen and (prefers-color-scheme:dark){:root{--ground:#14171a;--ink:#e6e9ec;--soft:#a3adb7;
--edge:#363d45;--panel:#1d2126;--a:#6cabff;--b:#f2a35e;--c:#6cc893;--d:#c79be6;--pass:#4cc26b;
--fail:#ff8579}}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif}
main{max-width:1080px;margin:0 auto;padding:24px 20px 48px}
h1{font-size:1.7rem;margin:0 0 8px;line-height:1.2}
h2{font-size:1.15rem;margin:32px 0 10px;padding-bottom:4px;border-bottom:1px solid var(--edge)}
h3{font-size:1rem;margin:18px 0 6px}
p{margin:6px 0}
.badge{display:inline-block;padding:2px 12px;border:2px solid;border-radius:6px;font-size:1rem;
font-weight:700;vertical-align:4px;margin-left:8px}
.pass{color:var(--pass)}.fail{color:var(--fail)}
td.word,.word{font-weight:600}
.note{color:var(--soft)}
.warn{border-left:4px solid var(--fail);padding:4px 12px;background:var(--panel)}
.words{font-size:1.05rem}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:10px;margin:16px 0}
.tile{background:var(--panel);border:1px solid var(--edge);border-radius:8px;padding:8px 12px}
.tile b{display:block;font-size:1.3rem;font-variant-numeric:tabular-nums}
.tile span,.tile small{color:var(--soft)}
.tile b span{color:inherit}
.grid{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,420px),1fr));gap:18px;
align-items:start}
figure{margin:0;padding:12px;border:1px solid var(--edge);border-radius:8px;min-width:0}
@media print,(min-width:820px){.beside{display:grid;grid-template-columns:1.1fr 1fr;column-gap:24px;
align-items:start}.beside figcaption{grid-column:1/-1}}
figcaption{font-weight:600;margin-bottom:4px}
svg{display:block;width:100%;max-width:560px;height:auto;margin:0 auto}
svg text{fill:var(--ink);font-size:12.5px}
svg .tick{fill:var(--soft);font-size:11.5px}
svg .grid{stroke:var(--edge);stroke-width:1}
svg .line{fill:none;stroke-width:2.2;stroke-linejoin:round}
svg .a{stroke:var(--a)}svg .b{stroke:var(--b);stroke-dasharray:7 4}
svg .c{stroke:var(--c);stroke-dasharray:2 3}svg .d{stroke:var(--d);stroke-dasharray:9 3 2 3}
svg .dot{stroke:none;fill:var(--a)}
svg .dot.b{fill:var(--b)}svg .dot.c{fill:var(--c)}svg .dot.d{fill:var(--d)}
svg .bar{fill:var(--a);opacity:.85}
svg .interval{fill:none;stroke:var(--a);stroke-width:2.2}
svg .yardstick{stroke:var(--soft);stroke-width:1.2;stroke-dasharray:3 4}
svg .zero{stroke:var(--ink);stroke-width:1.4}
svg .mark{stroke:var(--fail);stroke-width:1.4;stroke-dasharray:4 3}
.table{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:.93rem;margin:8px 0}
caption{text-align:left;color:var(--soft);padding:2px 0}
th,td{text-align:left;padding:4px 10px 4px 0;border-bottom:1px solid var(--edge);
vertical-align:top;overflow-wrap:break-word}
td:last-child,td code{overflow-wrap:anywhere}
thead th{color:var(--soft);font-weight:600}
tbody th{font-weight:400}
data{font-variant-numeric:tabular-nums;white-space:nowrap}
.ends{white-space:nowrap}
details{margin-top:6px}
summary{cursor:pointer;color:var(--soft)}
code{font:.88em/1.4 ui-monospace,"DejaVu Sans Mono",monospace}
ul{margin:6px 0;padding-left:22px}
li{overflow-wrap:anywhere}
@media print{html{font-size:10.5px}body{font-size:1rem}svg{max-width:340px}
main{max-width:none;padding:0}h2{break-after:avoid}
figure,tr,.tile{break-inside:avoid}.grid{grid-template-columns:1fr 1fr}summary{display:none}
details::details-content{content-visibility:visible;display:block;height:auto}
details:not([open]) :is(th,td){padding-block:0;line-height:1.25}
.bar,.dot,.badge{print-color-adjust:exact;-webkit-print-color-adjust:exact}}
"""
