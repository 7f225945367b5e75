// Has mermaid 10, 11 and 12 read what package draw draws of shutdowns, and compares what
// they understood (who told whom what, bars with their times) with what was meant.
//
//	node report/draw/testdata/mermaid/check.mjs
//
// Needs go and what viz/testdata/mermaid/check.mjs installs: that one runs first. Ends
// with 1 if a drawing means something else, and with 3 if mermaid is not installed.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir, userInfo } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { isDeepStrictEqual } from 'node:util';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';

const here = dirname(fileURLToPath(import.meta.url));

function installed() {
  const manifest = readFileSync(join(here, '../../../../viz/testdata/mermaid/package.json'));
  const id = createHash('sha256').update(manifest).digest('hex').slice(0, 12);
  const dir = join(tmpdir(), `lastcall-mermaid-${userInfo().uid}-${id}`);
  if (existsSync(join(dir, 'installed'))) return dir;
  console.error('mermaid is not installed: run viz/testdata/mermaid/check.mjs first');
  process.exit(3);
}

const decode = (s) => (s ?? '').replace(/ﬂ°°(\d+)¶ß/g, (_, code) => String.fromCodePoint(code));
const shown = (s) => decode(s).replace(/\s+/g, ' ').trim();
const values = (all) => (all instanceof Map ? [...all.values()] : Object.values(all));

async function understood(mermaid, text) {
  const { db, type } = await mermaid.mermaidAPI.getDiagramFromText(text);
  if (type === 'sequence') {
    const names = Object.fromEntries(values(db.getActors()).map((a) => [a.name, shown(a.description)]));
    return db.getMessages().filter((m) => m.from).map((m) => [names[m.from], names[m.to], shown(m.message)]);
  }
  const tags = (t) => ['crit', 'active', 'done', 'milestone'].filter((tag) => t[tag]).join(', ');
  return db.getTasks().map((t) => [shown(t.section), shown(t.task), String(+t.startTime), String(+t.endTime), tags(t)]);
}

async function readAll({ version, dir, cases }) {
  const { window } = new (createRequire(join(dir, 'package.json'))('jsdom').JSDOM)('<!doctype html><body></body>');
  globalThis.window = window;
  for (const name of ['document', 'Element', 'Node', 'HTMLElement', 'SVGElement', 'DOMParser', 'XMLSerializer', 'Option', 'CSSStyleSheet']) {
    globalThis[name] ??= window[name];
  }
  const root = join(dir, 'node_modules', version);
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const { default: mermaid } = await import(pathToFileURL(join(root, manifest.module)));
  mermaid.initialize({ startOnLoad: false });
  const wrong = [];
  for (const c of cases) {
    const want = c.want.map((line) => line.map(shown));
    try {
      const got = await understood(mermaid, c.text);
      if (!isDeepStrictEqual(got, want)) throw new Error(`got  ${JSON.stringify(got)}\nwant ${JSON.stringify(want)}`);
    } catch (err) {
      wrong.push(`mermaid ${manifest.version}: ${c.name}\n${c.text}${err.message ?? err}\n`);
    }
  }
  parentPort.postMessage({ wrong, release: manifest.version });
  process.exit(); // the worker: jsdom's timers would keep it alive
}

function main() {
  const cases = JSON.parse(execFileSync('go', ['run', '.'], { cwd: here, maxBuffer: 1 << 28, encoding: 'utf8' }));
  const dir = installed();
  let open = 3;
  process.exitCode = 1; // until every version has answered
  let failed = 0;
  for (const version of ['mermaid10', 'mermaid11', 'mermaid12']) {
    const worker = new Worker(new URL(import.meta.url), { workerData: { version, dir, cases } });
    worker.on('message', ({ wrong, release }) => {
      wrong.slice(0, 3).forEach((text) => console.log(text));
      console.log(`mermaid ${release}: ${cases.length - wrong.length} of ${cases.length} drawings of shutdowns mean what was meant`);
      failed += wrong.length;
      if (--open === 0 && failed === 0) process.exitCode = 0;
    });
    worker.on('error', (err) => console.error(`${version}: ${err.stack ?? err}`));
  }
}

if (isMainThread) main();
else await readAll(workerData);
