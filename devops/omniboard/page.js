'use strict';
// Loaded before Omniboard (node -r). Sends its page for reading alone:
// - with the columns of a browser's first visit. The table begins with columns like Format and
//   Command, and preset ones come last, out of sight; the layout is kept in the browser, where no
//   preset reaches. OMNIBOARD_LAYOUT is {"shown": [...], "hidden": [...], "paths": {...}, "plot":
//   {...}}: names of columns in their order, for each whose name is not its field in the run's
//   document that field, and the axes and metrics of a first plot;
// - without what would change a run, which the guard refuses, and a line that says what does;
// - with Omniboard's script changed in a few places, which are looked for word for word: that
//   script is pinned. Where one is missing the page is as it was there, and the log says so;
// - with a policy by which the browser runs no other script, and asks nobody else for anything: names
//   of runs and metrics are those of everybody who may write to the database, and the page's own
//   libraries, of 2021 and compiled into it, would show some as HTML.
const crypto = require('crypto');
const fs = require('fs');
const http = require('http');
const path = require('path');

const BUILD = path.join(__dirname, 'node_modules', 'omniboard', 'web', 'build');
const PAGE = /^\/sacred\/?(\?.*)?$/;
const WIDTHS = { _id: 70, status: 145, tags: 200, notes: 200, start_time: 175 };
const READ_ONLY =
  '<div id="read-only">Read-only. Tags, notes, deletion: <code>python -m nn_clustering.tracking tag | note | ' +
  'delete</code>; columns: <code>configs/omniboard_columns.yaml</code></div>';
const STYLE = `<style>
/* The mark of runs that died; Omniboard has one for each status of its own. */
.circle.died { background-color: #000; }
#delete_runs, #add_remove_metric_columns, .delete-icon,
[test-attr="manage-config-columns-button"], [test-attr="settings-button"] { display: none !important; }
.select-cell .label { display: inline-block; margin: 1px 3px 1px 0; font-size: 90%; }
#read-only { position: absolute; top: 15px; right: 90px; z-index: 1; color: #bbb; font-size: 12px; }
#read-only code { background: none; color: #eee; padding: 0; }
@media (max-width: 1000px) { #read-only { position: static; color: #444; padding: 2px 15px; } #read-only code { color: #222; } }
</style>`;

// What Omniboard's script says, and what it says here.
const CHANGES = {
  'numbers are rounded': [
    'i="duration"===r&&a?L()(a):"string"!==typeof a?JSON.stringify(a):a;return A.a.createElement(T.Cell,o,i)',
    'i="duration"===r&&a?L()(a):"string"!==typeof a?nnClustering.text(a):a;' +
      'return A.a.createElement(T.Cell,o,A.a.createElement("span",{title:nnClustering.exact(a)},i))',
  ],
  'tags are shown, not chosen': [
    'A.a.createElement(k.a,{isMulti:!0,options:c,value:u,menuPortalTarget:document.body,isLoading:f,' +
      'placeholder:"Add Tags...",formatCreateLabel:p,onChange:o(n)})',
    'u.map(function(e){return A.a.createElement("span",{className:"label label-default",key:e.value},e.value)})',
  ],
  'notes are shown, not written': [
    'A.a.createElement(N.a,{dataVersion:r,name:"notes"+n,defaultText:l,value:c,onUpdate:a(n)})',
    'A.a.createElement("span",null,c)',
  ],
  'figures come first': ['files:o.artifacts}', 'files:nnClustering.ordered(o.artifacts)}'],
  'a plot begins with what can be compared': [
    'selected:!(i.length>0)||i.includes(e)',
    'selected:nnClustering.plotted(a,i).includes(e)',
  ],
  'names of metrics are texts': [
    'enableHTML:!0,buttonText:function(e,t){return 0===e.length?"None selected":"".concat(e.length," selected")},' +
      'selectedClass:"metric-name-selected"',
    'enableHTML:!1,buttonText:function(e,t){return 0===e.length?"None selected":"".concat(e.length," selected")},' +
      'selectedClass:"metric-name-selected"',
  ],
};

// The script with the changes, and the names of those whose place is not there, once.
function changed(script) {
  const missing = [];
  for (const [name, [before, after]] of Object.entries(CHANGES)) {
    if (script.split(before).length === 2) script = script.replace(before, () => after);
    else missing.push(name);
  }
  return { script, missing };
}

function tableLayout({ shown, hidden, paths }) {
  const option = (selected) => (name) => ({ label: name.replace(/_/g, ' ').trim(), value: name, selected });
  return {
    columnOrder: shown,
    dropdownOptions: [...shown.map(option(true)), ...hidden.map(option(false))],
    columnNameMap: paths,
    columnWidths: Object.fromEntries([...shown, ...hidden].map((name) => [name, WIDTHS[name] || 125])),
  };
}

function firstVisit(layout) {
  const { x_axis: selectedXAxis = 'steps', y_axis: selectedYAxis = 'linear', metrics = [] } = (layout || {}).plot || {};
  // With lines alone one point is not to be seen.
  const plot = { selectedXAxis, selectedYAxis, plotModes: ['lines+markers', 'dashdot'] };
  return { table: layout && tableLayout(layout), plot, metrics };
}

function digest(content, encoding) {
  return crypto.createHash('sha256').update(content).digest(encoding);
}

// The page, and the policy that lets its scripts run.
function pageFor(layout) {
  const literal = JSON.stringify(firstVisit(layout)).replace(/</g, '\\u003c');
  const own = fs.readFileSync(path.join(__dirname, 'page_script.js'), 'utf8');
  const script = `${own}nnClustering.begin(${literal});`;
  const page = fs.readFileSync(path.join(BUILD, 'index.html'), 'utf8');
  const policy =
    // The plots make functions of texts, of their own.
    `default-src 'self'; script-src 'self' 'unsafe-eval' 'sha256-${digest(script, 'base64')}'; ` +
    "style-src 'self' 'unsafe-inline'; " +
    "img-src 'self' data: blob:; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
  return [page.replace('<body>', () => `<body>${STYLE}<script>${script}</script>${READ_ONLY}`), policy];
}

// The answer to a request for the page or its script, else undefined.
function answers(layout) {
  const name = fs.readdirSync(path.join(BUILD, 'static', 'js')).find((file) => /^main\..*\.js$/.test(file));
  const { script, missing } = changed(fs.readFileSync(path.join(BUILD, 'static', 'js', name), 'utf8'));
  for (const what of missing) console.error(`the page is another one than expected: not so that ${what}`);
  const answer = (content, type) => {
    const body = Buffer.from(content);
    const headers = { 'Content-Type': `${type}; charset=utf-8`, 'Cache-Control': 'no-cache', ETag: `"${digest(body, 'hex')}"` };
    return { body, headers };
  };
  const [content, policy] = pageFor(layout);
  const page = answer(content, 'text/html');
  page.headers['Content-Security-Policy'] = policy;
  const ownScript = answer(script, 'text/javascript');
  return (url) => (PAGE.test(url) ? page : url.split('?', 1)[0] === `/static/js/${name}` ? ownScript : undefined);
}

function send({ body, headers }, request, response) {
  const isKnown = request.headers['if-none-match'] === headers.ETag;
  response.writeHead(isKnown ? 304 : 200, headers);
  response.end(isKnown || request.method === 'HEAD' ? undefined : body);
}

const layout = process.env.OMNIBOARD_LAYOUT;
const answerTo = answers(layout ? JSON.parse(layout) : null);
const emit = http.Server.prototype.emit;
http.Server.prototype.emit = function (event, request, response) {
  const isRead = event === 'request' && ['GET', 'HEAD'].includes(request.method);
  const answer = isRead ? answerTo(request.url) : undefined;
  if (answer === undefined) return emit.apply(this, arguments);
  send(answer, request, response);
  return true;
};
