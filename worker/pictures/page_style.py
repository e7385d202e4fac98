"""How the page looks. One style sheet, inline; its digest is in the page's Content-Security-Policy."""

STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8882; --accent: #0a6ebd; --warn: #b25000; --bad: #c02020;
  --good: #1a7f37; }
* { box-sizing: border-box; }
body { font: 15px/1.45 system-ui, sans-serif; margin: 0 auto; max-width: 1500px; padding: 0 20px 40px; }
.banner { background: #ffc400; color: #1a1a1a; font-weight: 700; margin: 0 -20px; padding: 10px 20px; position: sticky;
  top: 0; }
h1 { font-size: 1.6em; margin: .7em 0 .4em; }
h2 { border-bottom: 1px solid var(--line); font-size: 1.15em; margin: 1.8em 0 .6em; padding-bottom: .2em; }
h3 { font-size: 1em; margin: 1.2em 0 .3em; }
table { border-collapse: collapse; display: block; overflow-x: auto; }
th, td { border-bottom: 1px solid var(--line); padding: 4px 14px 4px 0; text-align: left; vertical-align: top; }
th { font-weight: 600; white-space: nowrap; }
td { overflow-wrap: break-word; }
td code { overflow-wrap: anywhere; }
.number { font-variant-numeric: tabular-nums; text-align: right; }
dl { display: grid; gap: 2px 16px; grid-template-columns: max-content 1fr; margin: .4em 0; }
dt { color: color-mix(in srgb, currentColor 65%, transparent); }
dd { margin: 0; overflow-wrap: anywhere; }
code { font: .92em ui-monospace, monospace; }
figure { margin: 1em 0; }
figure img { background: #101216; display: block; height: auto; max-width: 100%; }
figcaption { color: color-mix(in srgb, currentColor 70%, transparent); font-size: .92em; margin-top: 4px; }
.notices { border-left: 4px solid var(--warn); margin: 1em 0; padding: 2px 14px; }
.good { color: var(--good); } .bad { color: var(--bad); font-weight: 700; } .warn { color: var(--warn); }
ul { margin: .4em 0; padding-left: 1.3em; }
footer { border-top: 1px solid var(--line); font-size: .9em; margin-top: 2.5em; padding-top: .8em; }
@media print { .banner { position: static; } figure, tr { break-inside: avoid; } }
"""
