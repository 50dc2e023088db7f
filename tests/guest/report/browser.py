"""A browser that looks at pages: one start of headless Chromium for all of them, each in a frame of its own width."""

from __future__ import annotations

import html
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from lab.process import require

FLAGS = (
    "--headless",
    "--no-sandbox",  # tests run as root too
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--force-dark-mode",
    "--blink-settings=preferredColorScheme=0",  # dark
    "--window-size=1600,1200",
    "--hide-scrollbars",  # a phone has none
)
SECONDS = 120
_POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy"[^>]*>')
_ANSWER = re.compile(r"<title>(.*?)</title>", re.DOTALL)

# Runs in the test's own page around the frames; what it finds becomes that page's title.
LOOK = """
const shown = e => e.getClientRects().length > 0;
const boxed = e => e.closest('pre, .scroll, svg, .hidden, .skip') !== null;
const name = e => `${e.tagName}.${e.getAttribute('class')} ${e.textContent.trim().slice(0, 40)}`;
const beside = (a, b) => a.right <= b.left + 1 || b.right <= a.left + 1;
const above = (a, b) => a.bottom <= b.top + 3 || b.bottom <= a.top + 3;
const scale = svg => svg.getBoundingClientRect().width / svg.viewBox.baseVal.width;
function look(frame) {
  const page = frame.contentDocument, view = frame.contentWindow;
  const all = [...page.body.querySelectorAll('*')].filter(shown), style = e => view.getComputedStyle(e);
  const texts = all.filter(e => e.tagName === 'text'), boxes = texts.map(e => e.getBoundingClientRect());
  const hits = [];
  for (let i = 0; i < texts.length; i++) for (let j = 0; j < i; j++)
    if (!beside(boxes[i], boxes[j]) && !above(boxes[i], boxes[j])) hits.push(name(texts[i]) + ' | ' + name(texts[j]));
  const scrolls = all.filter(e => /auto|scroll/.test(style(e).overflowX) && e.scrollWidth > e.clientWidth);
  return {
    title: page.title,
    viewport: view.innerWidth,
    width: page.documentElement.scrollWidth,
    outside: all.filter(e => !boxed(e) && e.getBoundingClientRect().right > view.innerWidth + 1).map(name),
    pictures: all.filter(e => e.tagName === 'svg').map(e => e.getAttribute('class')),
    beyond: texts.filter((e, i) => { const s = e.closest('svg').getBoundingClientRect();
      return boxes[i].left < s.left - 1 || boxes[i].right > s.right + 1 || boxes[i].bottom > s.bottom + 1; }).map(name),
    hits: hits,
    smallest: Math.min(99, ...texts.map(e => parseFloat(style(e).fontSize) * scale(e.closest('svg')))),
    unreachable: scrolls.filter(e => e.tabIndex < 0).map(name),
    scrolls: scrolls.length,
    scripts: page.scripts.length,
    back: style(page.body).backgroundColor,
  };
}
onload = () => {
  const seen = {};
  for (const frame of document.querySelectorAll('iframe')) {
    for (const e of frame.contentDocument.querySelectorAll('details')) e.open = true;
    seen[frame.id] = look(frame);
  }
  document.title = JSON.stringify(seen);
};
"""


def look(folder: Path, pages: Mapping[str, str], widths: tuple[int, ...]) -> dict[str, dict[str, Any]]:
    """Return what the browser finds of each page at each width, by "name width"; everything foldable is unfolded.

    The copies have no policy: a script that got into a page would run.
    """
    frames = [
        f'<iframe id="{name} {width}" width="{width}" height="800" style="border:0" '
        f'srcdoc="{html.escape(_POLICY.sub("", text))}"></iframe>'
        for name, text in pages.items()
        for width in widths
    ]
    around = folder / "around.html"
    head = f'<!doctype html><meta charset="utf-8"><title>nothing</title><script>{LOOK}</script>'
    around.write_text(head + "".join(frames), encoding="utf-8")
    argv = [require("chromium", "chromium"), *FLAGS, f"--user-data-dir={folder / 'profile'}", "--dump-dom"]
    done = subprocess.run([*argv, around.as_uri()], capture_output=True, text=True, check=True, timeout=SECONDS)
    answer = _ANSWER.search(done.stdout)
    assert answer is not None, done.stdout[:1000] + done.stderr
    found: dict[str, dict[str, Any]] = msgspec.json.decode(html.unescape(answer[1]))
    return found
