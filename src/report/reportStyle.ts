/** @file The style sheet of report.html: one column of text, light and dark, no external resource. */

/** CSS for the markup of html.ts and curve.ts. */
export const reportStyle: string = `
:root {
  color-scheme: light dark;
  --page: #f7f7f5; --card: #ffffff; --text: #1c1d20; --muted: #63666d; --line: #e3e3df; --accent: #2457c5;
  --s0: #2457c5; --s1: #d4541b; --s2: #14804f; --s3: #8a3ab9; --s4: #a97900; --s5: #0b7f92;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #131416; --card: #1b1d20; --text: #e7e7e4; --muted: #9b9fa6; --line: #2f3237; --accent: #84a9ff;
    --s0: #7da4ff; --s1: #ff9561; --s2: #5ecb97; --s3: #cf93f2; --s4: #e4bd4f; --s5: #56c5d8;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--page); color: var(--text);
  font: 16px/1.6 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
  -webkit-text-size-adjust: 100%;
}
main { max-width: 70rem; margin: 0 auto; padding: 3rem 1.5rem 5rem; }
h1 { font-size: 2rem; line-height: 1.2; letter-spacing: -0.02em; margin: 0 0 1.5rem; text-wrap: balance; }
h2 { font-size: 1.3rem; line-height: 1.3; letter-spacing: -0.01em; margin: 0 0 0.75rem; }
h3 { font-size: 0.95rem; line-height: 1.4; margin: 0; }
section { margin-top: 3rem; padding-top: 2rem; border-top: 1px solid var(--line); }
section > p { max-width: 44rem; margin: 0 0 1rem; }
nav { display: flex; flex-wrap: wrap; gap: 0.25rem 1.25rem; margin-top: 1.5rem; font-size: 0.9rem; }
a { color: var(--accent); text-decoration: none; }
a:hover { text-decoration: underline; }
.summary { display: grid; grid-template-columns: repeat(auto-fit, minmax(11.5rem, 1fr)); gap: 0.75rem; margin: 0; }
.summary > div { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 0.85rem 1rem; }
.summary dt { color: var(--muted); font-size: 0.85rem; line-height: 1.4; }
.summary dd { margin: 0; }
.summary .value {
  font-size: 1.35rem; line-height: 1.35; font-weight: 600; font-variant-numeric: tabular-nums; overflow-wrap: anywhere;
}
.summary .note { color: var(--muted); font-size: 0.8rem; line-height: 1.4; }
figure { margin: 0; }
.curves { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 27rem), 1fr)); gap: 1rem; margin: 1.25rem 0; }
.curve { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 1rem 1rem 0.5rem; max-width: 44rem; }
.curve figcaption { display: flex; flex-wrap: wrap; align-items: baseline; gap: 0 1rem; margin-bottom: 0.4rem; }
.curve figcaption p { flex-basis: 100%; margin: 0; color: var(--muted); font-size: 0.8rem; }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: 0 0.9rem; margin: 0 0 0 auto; padding: 0; font-size: 0.8rem; color: var(--muted); }
.legend li { display: flex; align-items: center; gap: 0.4rem; }
.legend b { color: var(--text); font-weight: 600; font-variant-numeric: tabular-nums; }
.legend i { width: 1.1rem; height: 0; border-top: 3px solid var(--series); border-radius: 2px; }
.legend .dashed i { border-top-style: dotted; }
.plot { display: block; width: 100%; height: auto; overflow: visible; }
.plot text { font-size: 12px; fill: var(--muted); font-variant-numeric: tabular-nums; }
.plot path { fill: none; stroke: var(--line); }
.plot .axis, .plot .tick { stroke: var(--muted); }
.plot .series path { stroke: var(--series); stroke-width: 1.8; stroke-linejoin: round; stroke-linecap: round; }
.plot .dense path { stroke-width: 1.1; }
.plot .series .error { stroke-width: 1; stroke-dasharray: none; }
.plot .series circle { fill: var(--series); stroke: var(--card); stroke-width: 1; }
.plot .dashed path { stroke-dasharray: 5 4; }
.s0 { --series: var(--s0); } .s1 { --series: var(--s1); } .s2 { --series: var(--s2); }
.s3 { --series: var(--s3); } .s4 { --series: var(--s4); } .s5 { --series: var(--s5); }
.images { display: flex; flex-wrap: wrap; gap: 1.5rem; margin: 1.25rem 0; align-items: flex-start; }
.images figure { max-width: 100%; }
.images img { display: block; max-width: 100%; height: auto; border-radius: 6px; border: 6px solid #ffffff; outline: 1px solid var(--line); image-rendering: pixelated; }
.images figcaption { color: var(--muted); font-size: 0.85rem; line-height: 1.45; margin-top: 0.5rem; max-width: 40rem; }
@media (max-width: 40rem) { .images img { image-rendering: auto; } }
.table { overflow-x: auto; margin: 1.25rem 0; }
table { border-collapse: collapse; font-size: 0.92rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 0.45rem 1.5rem 0.45rem 0; border-bottom: 1px solid var(--line); vertical-align: baseline; }
th { color: var(--muted); font-weight: 500; font-size: 0.85rem; }
.number { text-align: right; }
pre {
  background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 1rem 1.1rem; margin: 1.25rem 0;
  overflow: auto; max-height: 32rem; font: 0.82rem/1.55 ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace;
}
@media print { body { background: none; } main { padding: 0; } pre { max-height: none; } .curve, section > h2 { break-inside: avoid; } }
`
