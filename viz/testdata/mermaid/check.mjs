// Has mermaid 10, 11 and 12 read what package viz draws, and compares what they
// understood (states, arrows, messages) and what they show (the text of the SVG)
// with what was meant.
//
//	node viz/testdata/mermaid/check.mjs
//
// Needs node 20 or later, npm and go; no browser. The packages come from the npm
// registry into a folder for temporary files, once. Ends with 1 if a diagram
// means something else, and with 3 if npm could not install.
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir, userInfo } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { isDeepStrictEqual } from 'node:util';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';

const here = dirname(fileURLToPath(import.meta.url));
const versions = ['mermaid10', 'mermaid11', 'mermaid12'];

function install() {
  const manifest = readFileSync(join(here, 'package.json'));
  const id = createHash('sha256').update(manifest).digest('hex').slice(0, 12);
  const dir = join(tmpdir(), `lastcall-mermaid-${userInfo().uid}-${id}`);
  const done = join(dir, 'installed');
  if (existsSync(done)) return dir;
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  copyFileSync(join(here, 'package.json'), join(dir, 'package.json'));
  const npm = spawnSync('npm', ['install', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'],
    { cwd: dir, stdio: ['ignore', 'inherit', 'inherit'] });
  if (npm.status !== 0) {
    console.error(`mermaid check: npm could not install (exit code ${npm.status ?? npm.error})`);
    process.exit(3);
  }
  writeFileSync(done, '');
  return dir;
}

// browser makes jsdom's window the global one. jsdom has no layout, so every box
// gets the same size: the places in the SVG mean nothing, its texts do.
function browser(JSDOM) {
  const { window } = new JSDOM('<!doctype html><body></body>', { pretendToBeVisual: true });
  globalThis.window = window;
  for (const name of ['document', 'Element', 'Node', 'HTMLElement', 'SVGElement', 'DOMParser', 'XMLSerializer', 'Option', 'CSSStyleSheet']) {
    globalThis[name] ??= window[name];
  }
  const box = () => ({ x: 0, y: 0, width: 100, height: 20, top: 0, left: 0, right: 100, bottom: 20 });
  window.Element.prototype.getBoundingClientRect = box;
  Object.assign(window.SVGElement.prototype, {
    getBBox: box, getComputedTextLength: () => 100, getTotalLength: () => 100, getPointAtLength: () => ({ x: 0, y: 0 }),
  });
}

// decode undoes what mermaid puts in place of #NN; until the SVG is done.
const decode = (s) => (s ?? '').replace(/ﬂ°°(\d+)¶ß/g, (_, code) => String.fromCodePoint(code));
// shown is what a reader sees: pictures of control characters, U+FFFD for what cannot be
// printed, and one space for a run of white space.
const shown = (s) => (s ?? '').replace(/[\t-\r\u0085\u2028\u2029]/g, ' ').replace(/[\0-\x1f]/g, (c) => String.fromCodePoint(0x2400 + c.codePointAt(0)))
  .replaceAll('\x7f', '\u2421').replace(/(?![\u200c\u200d])\p{C}/gu, '\ufffd').replace(/\s+/g, ' ').trim();
const texts = (root, selector) => [...root.querySelectorAll(selector)].map((e) => shown(e.textContent)).filter((s) => s !== '');
const values = (all) => (all instanceof Map ? [...all.values()] : Object.values(all));

const isSequence = (text) => text.includes('sequenceDiagram\n');

// understood is what mermaid's own model of a diagram says.
async function understood(mermaid, text) {
  if (!isSequence(text)) { // mermaid 10 keeps the direction of the diagram before
    await mermaid.mermaidAPI.getDiagramFromText('stateDiagram-v2\n    direction TB\n    [*] --> a');
  }
  const { db, type } = await mermaid.mermaidAPI.getDiagramFromText(text.replace(/^---\n.*?\n---\n/s, ''));
  if (type === 'sequence') {
    return {
      title: shown(decode(db.getDiagramTitle())),
      actors: values(db.getActors()).map((a) => a.name),
      messages: db.getMessages().map((m) => [m.type, m.from ?? '', m.to ?? '', shown(decode(m.message))]),
    };
  }
  return { direction: db.getDirection(), ...meaning(db.getRootDocV2()) };
}

// meaning reads the parser's tree, which is the same in all versions.
function meaning(root) {
  const label = new Map();
  const parent = new Map();
  const all = { states: [], edges: [], notes: [], classes: [] };
  const each = (doc, visit, inside) => doc.forEach((s) => {
    visit(s, inside);
    if (s.doc) each(s.doc, visit, s.id);
  });
  each(root.doc, (s, inside) => {
    for (const state of s.stmt === 'relation' ? [s.state1, s.state2] : s.stmt === 'state' ? [s] : []) {
      if (state.start !== undefined) label.set(state.id, '[*]');
      else {
        if (state.description) label.set(state.id, shown(decode(state.description)));
        else if (!label.has(state.id)) label.set(state.id, state.id);
        if (!parent.has(state.id)) parent.set(state.id, inside); // where it is named first
      }
    }
  }, 'root');
  label.set('root', '');
  each(root.doc, (s) => {
    if (s.stmt === 'relation') all.edges.push([label.get(s.state1.id), label.get(s.state2.id), shown(decode(s.description))]);
    if (s.note) all.notes.push([label.get(s.id), shown(decode(s.note.text))]);
    if (s.stmt === 'applyClass') s.id.split(',').forEach((id) => all.classes.push([label.get(id.trim()), s.styleClass]));
  });
  parent.forEach((inside, id) => all.states.push([label.get(inside), label.get(id)]));
  return sorted(all);
}

const sorted = (all) => Object.fromEntries(Object.entries(all).map(([k, v]) => [k, v.map((x) => JSON.stringify(x)).sort()]));

// displayed is what the SVG shows.
let drawn = 0;
async function displayed(mermaid, text) {
  const { svg } = await mermaid.render(`drawing${drawn++}`, text);
  const root = document.createElement('div');
  root.innerHTML = svg;
  root.querySelectorAll('style').forEach((e) => e.remove());
  const title = [...root.querySelectorAll('svg > text')].filter((e) => !/messageText|loopText|labelText/.test(e.getAttribute('class') ?? ''));
  return {
    title: title.map((e) => shown(e.textContent)),
    labels: texts(root, 'foreignObject').sort(),
    messages: texts(root, '.messageText'),
  };
}

// meant turns a case into what understood and displayed have to return.
async function meant(mermaid, c) {
  const title = shown(c.title) === '' ? [] : [shown(c.title)];
  if (isSequence(c.text)) {
    const guide = await understood(mermaid, c.guide);
    const messages = guide.messages.filter((m) => m[1] !== '').map((m) => m[3]);
    return [{ ...guide, title: shown(c.title) }, { title, labels: [], messages }];
  }
  const show = (rows) => (rows ?? []).map((row) => row.map(shown));
  const [states, edges, notes, classes] = [show(c.states), show(c.edges), show(c.notes), show(c.classes)];
  return [{ direction: c.direction || 'TB', ...sorted({ states, edges, notes, classes }) }, {
    title,
    labels: [...states.map((s) => s[1]), ...edges.map((e) => e[2]), ...notes.map((n) => n[1])].filter((s) => s !== '').sort(),
    messages: [],
  }];
}

async function check(mermaid, c) {
  const want = await meant(mermaid, c);
  const got = [await understood(mermaid, c.text), c.parse_only ? want[1] : await displayed(mermaid, c.text)];
  if (got[1].labels && c.hidden) for (const side of [got, want]) side[1].labels = side[1].labels.filter((l) => !c.hidden.includes(l));
  if (!isDeepStrictEqual(got, want)) throw new Error(`got  ${JSON.stringify(got)}\nwant ${JSON.stringify(want)}`);
  if (c.guide && !isSequence(c.text)) {
    const guide = await understood(mermaid, c.guide);
    if (!isDeepStrictEqual(got[0], guide)) throw new Error(`got   ${JSON.stringify(got[0])}\nguide ${JSON.stringify(guide)}`);
  }
}

// readAll checks every case with one version, in a worker.
async function readAll({ version, dir, cases }) {
  browser(createRequire(join(dir, 'package.json'))('jsdom').JSDOM);
  const root = join(dir, 'node_modules', version);
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const { default: mermaid } = await import(pathToFileURL(join(root, manifest.module)));
  mermaid.initialize({ startOnLoad: false });
  const wrong = [];
  for (const c of cases) {
    try {
      await check(mermaid, c);
    } catch (err) {
      wrong.push(`mermaid ${manifest.version}: ${c.name}\n${c.text}${err.message ?? err}\n`);
    }
  }
  parentPort.postMessage({ wrong, release: manifest.version });
  process.exit(); // the worker: jsdom's timers would keep it alive
}

function main() {
  const cases = JSON.parse(execFileSync('go', ['run', '.'], { cwd: here, maxBuffer: 1 << 28, encoding: 'utf8' }));
  const dir = install();
  process.exitCode = 1; // until every version has answered
  let answers = 0;
  let failed = 0;
  for (const version of versions) {
    const worker = new Worker(new URL(import.meta.url), { workerData: { version, dir, cases } });
    worker.on('message', ({ wrong, release }) => {
      wrong.slice(0, 5).forEach((text) => console.log(text));
      console.log(`mermaid ${release}: ${cases.length - wrong.length} of ${cases.length} diagrams mean what was meant`);
      failed += wrong.length;
      answers++;
      if (answers === versions.length && failed === 0) process.exitCode = 0;
    });
    worker.on('error', (err) => console.error(`${version}: ${err.stack ?? err}`));
  }
}

if (isMainThread) main();
else await readAll(workerData);
