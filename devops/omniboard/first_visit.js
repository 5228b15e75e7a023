'use strict';
// Loaded before Omniboard (node -r). Its table begins with columns like Format and Command, and
// preset ones come last, out of sight; the layout is kept in the browser, where no preset reaches.
// So the page is sent with a script that sets the layout, at a browser's first visit only.
// OMNIBOARD_LAYOUT is {"shown": [...], "hidden": [...], "paths": {...}}: names of columns in their
// order, and for each whose name is not its field in the run's document, that field.
const fs = require('fs');
const http = require('http');
const path = require('path');

const PAGE = path.join(__dirname, 'node_modules', 'omniboard', 'web', 'build', 'index.html');
const LAYOUT_KEY = 'default|RunsTable|1';
const WIDTHS = { _id: 70, status: 145, tags: 200, notes: 200, start_time: 175 };
// The mark of runs that died; Omniboard has one for each status of its own.
const STYLE = '<style>.circle.died { background-color: #000; }</style>';

function pageWithLayout({ shown, hidden, paths }) {
  const option = (selected) => (name) => ({ label: name.replace(/_/g, ' ').trim(), value: name, selected });
  const columns = [...shown, ...hidden];
  const layout = {
    columnOrder: shown,
    dropdownOptions: [...shown.map(option(true)), ...hidden.map(option(false))],
    columnNameMap: paths,
    columnWidths: Object.fromEntries(columns.map((name) => [name, WIDTHS[name] || 125])),
  };
  const literal = (value) => JSON.stringify(value).replace(/</g, '\\u003c');
  const script =
    `<script>(function (key, layout) { if (!localStorage.getItem(key)) ` +
    `localStorage.setItem(key, JSON.stringify(layout)); })(${literal(LAYOUT_KEY)}, ${literal(layout)});</script>`;
  return fs.readFileSync(PAGE, 'utf8').replace('<body>', () => `<body>${STYLE}${script}`);
}

const layout = process.env.OMNIBOARD_LAYOUT;
if (layout) {
  const page = pageWithLayout(JSON.parse(layout));
  const emit = http.Server.prototype.emit;
  http.Server.prototype.emit = function (event, request, response) {
    const isPage = event === 'request' && request.method === 'GET' &&
      /^\/sacred\/?(\?.*)?$/.test(request.url);
    if (!isPage) return emit.apply(this, arguments);
    response.writeHead(200, { 'Content-Type': 'text/html; charset=utf-8' });
    response.end(page);
    return true;
  };
}
