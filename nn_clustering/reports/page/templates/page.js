'use strict';
// What moves on the page of a study. All that it shows comes from the JSON in #study-data, as text:
// nothing is ever read as HTML. Plotly's own script comes after this one.
(function () {
  const study = JSON.parse(document.getElementById('study-data').textContent);
  const byId = (id) => document.getElementById(id);
  const SVG = 'http://www.w3.org/2000/svg';
  const KEPT_ADDRESS = 'nn_clustering.omniboard';
  const tables = {};

  function element(name, attributes = {}, ...children) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (key === 'on') for (const [event, heard] of Object.entries(value)) made.addEventListener(event, heard);
      else if (value === true) made.setAttribute(key, '');
      else if (value !== false && value !== null && value !== undefined) made.setAttribute(key, value);
    }
    made.append(...children);
    return made;
  }

  function drawn(name, attributes = {}, text) {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== undefined) made.textContent = text;
    return made;
  }

  const isMissing = (value) => value === null || value === undefined || value === '';

  // --- numbers and runs ---------------------------------------------------------------------

  const DIGITS = 4; // significant ones
  const P_DECIMALS = 4;

  const isLong = (number) => number !== 0 && (Math.abs(number) >= 1e7 || Math.abs(number) < 1e-4);

  // With as many decimals as are asked for; where none are, with as many as it needs.
  function rounded(number, decimals) {
    if (isLong(number) && !(Number.isInteger(number) && Math.abs(number) < 1e15)) return number.toExponential(2);
    return decimals === undefined ? String(Number(number.toPrecision(DIGITS))) : number.toFixed(decimals);
  }

  // How many decimals the numbers of a column need, so that they stand below each other.
  function decimalsOf(numbers) {
    const needed = numbers.filter((number) => typeof number === 'number' && !isLong(number))
      .map((number) => (rounded(number).split('.')[1] || '').length);
    return needed.reduce((one, other) => Math.max(one, other), 0);
  }

  function duration(seconds) {
    if (seconds < 60) return `${Number(seconds.toPrecision(3))} s`;
    const minutes = Math.round(seconds / 60);
    return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, '0')} min`;
  }

  function shown(value, kind, decimals) {
    if (isMissing(value)) return '';
    if (typeof value === 'boolean') return value ? 'yes' : 'no';
    if (typeof value !== 'number') return String(value);
    if (kind === 'seconds') return duration(value);
    if (kind === 'p' && value < study.smallest_p) return `< ${study.smallest_p}`;
    return rounded(value, decimals);
  }

  // A run's place in Omniboard: its page opens with that run's details.
  let omniboard = study.omniboard;

  function addressOf(run) {
    const status = study.statuses[run] || 'COMPLETED';
    return omniboard + study.run_page.replace('{run}', () => encodeURIComponent(run)).replace('{status}', () => encodeURIComponent(status));
  }

  function linked(text, run, what) {
    const title = `${what ? `${what}, ` : ''}run ${run}`;
    return element('a', { href: addressOf(run), 'data-run': run, target: '_blank', rel: 'noopener noreferrer', title }, text);
  }

  function pointLinks() {
    for (const link of document.querySelectorAll('a[data-run]')) link.href = addressOf(link.dataset.run);
  }

  function useAddress(text, isKept) {
    let address;
    try { address = new URL(text); } catch { return false; }
    if (!/^https?:$/.test(address.protocol)) return false;
    omniboard = (address.origin + address.pathname).replace(/(\/+|\/sacred\/*)$/, '');
    if (isKept) try { localStorage.setItem(KEPT_ADDRESS, omniboard); } catch { /* a browser that keeps nothing */ }
    pointLinks();
    return true;
  }

  function offerAddress() {
    const field = byId('omniboard');
    let kept = null;
    try { kept = localStorage.getItem(KEPT_ADDRESS); } catch { /* as above */ }
    if (kept) useAddress(kept, false);
    field.value = omniboard;
    field.addEventListener('change', () => {
      field.setCustomValidity(useAddress(field.value, true) ? '' : 'An address such as http://127.0.0.1:9000');
      field.reportValidity();
    });
  }

  // --- tables -------------------------------------------------------------------------------

  const words = new Intl.Collator(undefined, { numeric: true, sensitivity: 'base' });

  function compared(one, other) {
    if (typeof one === 'number' && typeof other === 'number') return one - other;
    return words.compare(String(one), String(other));
  }

  const OPERATORS = {
    '<': (a, b) => a < b, '<=': (a, b) => a <= b, '>': (a, b) => a > b, '>=': (a, b) => a >= b,
    '=': (a, b) => a === b, '!=': (a, b) => a !== b,
  };

  // A table of many rows, a page of which is drawn.
  class BigTable {
    constructor(root, { columns, rows }) {
      Object.assign(this, { root, columns, rows, sortKey: null, direction: 1, page: 0, only: null, isWhole: false });
      this.part = (name) => root.querySelector(`[data-part="${name}"]`);
      this.at = new Map(columns.map(({ key }, index) => [key, index]));
      this.decimals = columns.map(({ kind }, index) => (kind === 'p' ? P_DECIMALS : decimalsOf(rows.map((row) => row[index]))));
      this.texts = rows.map((row) => row.map((value, index) => this.shown(value, index)).join('\n').toLowerCase());
      this.choices = new Map();
      this.build();
      this.update();
    }

    shown(value, index) {
      return shown(value, this.columns[index].kind, this.decimals[index]);
    }

    build() {
      const tools = this.part('choices');
      for (const [index, column] of this.columns.entries()) {
        if (!column.choice) continue;
        const values = [...new Set(this.rows.map((row) => row[index]).filter((value) => !isMissing(value)))].sort(compared);
        if (values.length < 2) continue;
        const options = values.map((value, place) => element('option', { value: place }, this.shown(value, index)));
        const select = element('select', { on: { change: () => {
          this.choices.set(index, select.value === '' ? null : values[Number(select.value)]);
          this.update();
        } } }, element('option', { value: '' }, 'all'), ...options);
        tools.append(element('label', {}, column.title, select));
      }
      this.part('search').addEventListener('input', () => this.update());
      this.part('size').addEventListener('change', () => this.update());
      this.part('previous').addEventListener('click', () => this.turn(-1));
      this.part('next').addEventListener('click', () => this.turn(1));
      this.part('all').addEventListener('click', () => this.reset());
    }

    reset() {
      this.part('search').value = '';
      for (const select of this.part('choices').querySelectorAll('select')) select.value = '';
      this.choices.clear();
      this.forget();
    }

    // What another part of the page has chosen is chosen no more, there neither.
    forget() {
      if (this.whenForgotten) this.whenForgotten();
      this.keepOnly(null);
    }

    // Shows the rows of some runs alone; null for all.
    keepOnly(runs, why = '') {
      this.only = runs;
      const mark = this.part('only');
      mark.hidden = runs === null;
      mark.replaceChildren(why, element('button', { type: 'button', 'aria-label': 'Show all again', on: { click: () => this.forget() } }, '✕'));
      this.update();
    }

    terms() {
      const typed = this.part('search').value.trim().toLowerCase();
      const found = typed.match(/"[^"]*"|\S+/g) || [];
      return found.map((term) => this.condition(term) || ((row, text) => text.includes(term.replace(/"/g, ''))));
    }

    // z_score<-2 as what it asks of a row, else null.
    condition(term) {
      const [, name, operator, wanted] = /^([^<>=!]+)(<=|>=|!=|<|>|=)(.+)$/.exec(term) || [];
      if (name === undefined) return null;
      const index = this.columns.findIndex(({ key, title }) => [key, title].some((known) => known.toLowerCase() === name));
      if (index < 0) return null;
      const number = Number(wanted), holds = OPERATORS[operator];
      return (row) => {
        const value = row[index];
        if (isMissing(value)) return false;
        return typeof value === 'number' ? holds(value, number) : holds(String(value).toLowerCase(), wanted);
      };
    }

    update() {
      const terms = this.terms(), choices = [...this.choices].filter(([, value]) => value !== null && value !== undefined);
      const found = [];
      for (let number = 0; number < this.rows.length; number += 1) {
        const row = this.rows[number];
        if (this.only && !this.only(row, number)) continue;
        if (choices.every(([index, value]) => row[index] === value) && terms.every((holds) => holds(row, this.texts[number]))) {
          found.push(number);
        }
      }
      this.found = found;
      this.sort();
      this.page = 0;
      this.draw();
    }

    sort() {
      if (this.sortKey === null) return;
      const index = this.at.get(this.sortKey), { rows, direction } = this;
      // what is missing comes last either way
      this.found.sort((one, other) => {
        const a = rows[one][index], b = rows[other][index];
        if (isMissing(a) || isMissing(b)) return isMissing(a) - isMissing(b) || one - other;
        return direction * compared(a, b) || one - other;
      });
    }

    sortBy(key) {
      this.direction = this.sortKey === key ? -this.direction : 1;
      this.sortKey = key;
      this.update();
      const button = [...this.part('head').querySelectorAll('button')].find((one) => one.dataset.key === key);
      if (button) button.focus({ preventScroll: true });
    }

    turn(by) {
      this.page += by;
      this.draw();
      this.part('scroller').scrollTop = 0;
    }

    visible() {
      const step = this.at.get('step'), { found, rows } = this;
      const isOfOne = step === undefined || found.every((number) => rows[number][step] === rows[found[0]][step]);
      return this.columns.map((_, index) => index).filter((index) => (isOfOne || !this.columns[index].detail) &&
        (index === 0 || found.some((number) => !isMissing(rows[number][index]))));
    }

    draw() {
      const size = this.isWhole ? Infinity : Number(this.part('size').value) || Infinity;
      const pages = Math.max(1, Math.ceil(this.found.length / size));
      const columns = this.visible();
      const numbers = size === Infinity ? this.found : this.found.slice(this.page * size, (this.page + 1) * size);
      this.part('head').replaceChildren(element('tr', {}, ...columns.map((index) => this.header(index))));
      this.part('body').replaceChildren(...numbers.map((number) => this.row(this.rows[number], columns)));
      if (this.found.length === 0) {
        this.part('body').append(element('tr', {}, element('td', { class: 'hint' }, `no ${this.root.dataset.unit} are like that`)));
      }
      const all = this.rows.length, count = this.found.length;
      const unit = all === 1 ? this.root.dataset.unit.replace(/s$/, '') : this.root.dataset.unit;
      this.part('count').textContent = `${count === all ? all : `${count} of ${all}`} ${unit}`;
      this.part('place').textContent = `page ${this.page + 1} of ${pages}`;
      this.part('previous').disabled = this.page === 0;
      this.part('next').disabled = this.page >= pages - 1;
      this.part('pager').hidden = all <= 25;
    }

    header(index) {
      const { key, title, kind, about } = this.columns[index];
      const sort = this.sortKey !== key ? 'none' : this.direction > 0 ? 'ascending' : 'descending';
      const button = element('button', { type: 'button', 'data-key': key, on: { click: () => this.sortBy(key) } }, title);
      return element('th', { scope: 'col', 'aria-sort': sort, class: isNumeric(kind) && 'number', title: about }, button);
    }

    row(row, columns) {
      return element('tr', {}, ...columns.map((index, place) => {
        const column = this.columns[index], value = row[index], text = this.shown(value, index);
        const run = column.run === undefined || column.run === null ? null : row[this.at.get(column.run)];
        const isLink = text !== '' && !isMissing(run);
        const title = typeof value === 'number' && String(value) !== text ? String(value) : text.length > 40 ? text : null;
        const classes = [isNumeric(column.kind) ? 'number' : '', column.kind === 'status' ? text : '', text.length > 40 ? 'long' : ''];
        const attributes = { class: classes.filter(Boolean).join(' ') || false, title };
        const content = isLink ? linked(text, run, title && typeof value === 'number' ? title : '') : text;
        return element(place === 0 ? 'th' : 'td', place === 0 ? { scope: 'row', ...attributes } : attributes, content);
      }));
    }
  }

  const isNumeric = (kind) => ['number', 'seconds', 'p'].includes(kind);

  // A table that is in the page already, of few rows.
  function makeSortable(table) {
    const body = table.tBodies[0];
    [...table.tHead.rows[0].cells].forEach((header, index) => {
      const button = header.querySelector('button');
      if (!button) return;
      button.addEventListener('click', () => {
        const direction = header.getAttribute('aria-sort') === 'ascending' ? -1 : 1;
        for (const other of table.tHead.rows[0].cells) if (other.hasAttribute('aria-sort')) other.setAttribute('aria-sort', 'none');
        header.setAttribute('aria-sort', direction > 0 ? 'ascending' : 'descending');
        const valueOf = (row) => {
          const { value } = row.cells[index].dataset;
          return value === undefined || value === '' ? null : Number.isNaN(Number(value)) ? value : Number(value);
        };
        const rows = [...body.rows].map((row, place) => [valueOf(row), place, row]);
        rows.sort(([a, i], [b, j]) => {
          if (a === null || b === null) return (a === null) - (b === null) || i - j;
          return direction * compared(a, b) || i - j;
        });
        body.append(...rows.map(([, , row]) => row));
      });
    });
  }

  // Links such as #runs=3,4 show these runs alone.
  function followRuns() {
    const [, listed] = /^#runs=(.+)$/.exec(location.hash) || [];
    if (listed === undefined || !tables.runs) return;
    const wanted = new Set(decodeURIComponent(listed).split(','));
    const index = tables.runs.at.get('run');
    tables.runs.reset();
    tables.runs.keepOnly((row) => wanted.has(String(row[index])), `${wanted.size} chosen ${wanted.size === 1 ? 'run' : 'runs'}`);
    byId('runs').scrollIntoView();
  }

  // --- colours ------------------------------------------------------------------------------

  const colourOf = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  function mixed(share) {
    const [low, middle, high] = study.ramp;
    const [from, to, part] = share < 0.5 ? [low, middle, share * 2] : [middle, high, share * 2 - 1];
    return `rgb(${from.map((value, index) => Math.round(value + (to[index] - value) * part)).join(' ')})`;
  }

  // --- parallel coordinates -----------------------------------------------------------------

  const NEAR = 0.015; // of an axis: a hand that stops so near to an end means it

  class ParallelCoordinates {
    constructor(root, { axes, rows, colours }) {
      Object.assign(this, { root, axes, rows, brushes: new Map() });
      this.select = root.querySelector('select');
      for (const key of colours) this.select.append(element('option', { value: key }, axes.find((axis) => axis.key === key).title));
      this.select.addEventListener('change', () => this.draw());
      root.querySelector('[data-part="clear"]').addEventListener('click', () => { this.brushes.clear(); this.mark(true); });
      this.tip = element('div', { class: 'tip', hidden: true });
      document.body.append(this.tip);
      this.scales = axes.map((axis, index) => this.scaleOf(axis, index));
      if (tables.networks) tables.networks.whenForgotten = () => { this.brushes.clear(); this.mark(false); };
      this.draw();
      new ResizeObserver(() => { if (this.width !== this.room()) this.draw(); }).observe(root.querySelector('.parallel'));
    }

    room() {
      return Math.max(roomOf(this.root), this.axes.length * 112);
    }

    scaleOf(axis, index) {
      if (axis.values) {
        const places = new Map(axis.values.map((value, place) => [value, axis.values.length < 2 ? 0.5 : 1 - place / (axis.values.length - 1)]));
        return { share: (value) => places.get(value), ticks: axis.values.map((value) => [places.get(value), value]) };
      }
      const values = this.rows.map((row) => row.values[index]).filter((value) => !isMissing(value));
      const low = values.reduce((a, b) => Math.min(a, b), Infinity), high = values.reduce((a, b) => Math.max(a, b), -Infinity);
      const isLogarithmic = Boolean(axis.log) && low > 0 && high / low > 20;
      const at = isLogarithmic ? Math.log10 : Number;
      const share = (value) => (isMissing(value) ? undefined : high === low ? 0.5 : (at(value) - at(low)) / (at(high) - at(low)));
      const ticks = high === low ? [low] : isLogarithmic ? powers(low, high) : steps(low, high, values.every(Number.isInteger) ? 1 : 0);
      return { share, ticks: ticks.map((value) => [share(value), rounded(value)]), low, high };
    }

    colour() {
      const index = Math.max(0, this.axes.findIndex(({ key }) => key === this.select.value)), axis = this.axes[index];
      const legend = this.root.querySelector('.legend'), { share, low, high } = this.scales[index];
      if (axis.values) {
        const of = new Map(axis.values.map((value, place) => [value, study.palette[place % study.palette.length]]));
        legend.replaceChildren(...axis.values.map((value) => {
          const swatch = element('i');
          swatch.style.background = of.get(value);
          return element('span', {}, swatch, String(value));
        }));
        return (row) => of.get(row.values[index]) || colourOf('--faint');
      }
      const ramp = element('i', { class: 'ramp' });
      ramp.style.background = `linear-gradient(to right, ${mixed(0)}, ${mixed(0.5)}, ${mixed(1)})`;
      legend.replaceChildren(`${axis.title}: ${rounded(Number(low.toPrecision(4)))}`, ramp, rounded(Number(high.toPrecision(4))));
      return (row) => (share(row.values[index]) === undefined ? colourOf('--faint') : mixed(share(row.values[index])));
    }

    draw() {
      const height = 400, top = 52, bottom = 22, left = 62, right = 118;
      this.width = this.room();
      this.y = (share) => top + (1 - share) * (height - top - bottom);
      this.shareAt = (y) => 1 - (y - top) / (height - top - bottom);
      this.x = (index) => left + (this.axes.length < 2 ? 0 : (index * (this.width - left - right)) / (this.axes.length - 1));
      const svg = drawn('svg', { width: this.width, height, viewBox: `0 0 ${this.width} ${height}`, role: 'img', 'aria-label': this.root.dataset.label });
      const colour = this.colour();
      this.paths = this.rows.map((row, number) => {
        const path = drawn('path', { d: this.line(row), stroke: colour(row) });
        path.addEventListener('pointerenter', (event) => this.point(event, number));
        path.addEventListener('pointerleave', () => this.point(null, number));
        path.addEventListener('click', () => { if (!isMissing(row.run)) window.open(addressOf(row.run), '_blank', 'noopener'); });
        return path;
      });
      svg.append(...this.paths, ...this.axes.map((axis, index) => this.axis(axis, index, top, height - bottom)));
      this.root.querySelector('.parallel').replaceChildren(svg);
      this.mark(false);
    }

    line(row) {
      let text = '', isDown = false;
      this.axes.forEach((axis, index) => {
        const share = this.scales[index].share(row.values[index]);
        if (share === undefined) { isDown = false; return; }
        text += `${isDown ? 'L' : 'M'}${this.x(index).toFixed(1)} ${this.y(share).toFixed(1)}`;
        isDown = true;
      });
      return text;
    }

    axis(axis, index, top, bottom) {
      const group = drawn('g', { class: 'axis' }), x = this.x(index);
      group.append(drawn('line', { x1: x, x2: x, y1: top, y2: bottom }));
      const title = drawn('text', { class: 'title', x: x - 6, y: index % 2 ? 34 : 16 }, cut(axis.title, 26));
      title.append(drawn('title', {}, axis.title));
      group.append(title);
      const every = Math.ceil(this.scales[index].ticks.length / 16);
      this.scales[index].ticks.forEach(([share, value], place) => {
        if (place % every) return;
        const label = drawn('text', { x: x + 5, y: this.y(share) + 4 }, cut(String(value), 15));
        label.append(drawn('title', {}, String(value)));
        group.append(label);
      });
      const chosen = drawn('rect', { class: 'chosen', x: x - 7, width: 14, y: 0, height: 0, visibility: 'hidden' });
      const hit = drawn('rect', { class: 'hit', x: x - 14, y: top - 8, width: 28, height: bottom - top + 16 });
      this.drag(hit, index);
      group.append(chosen, hit);
      return group;
    }

    drag(hit, index) {
      let from = null;
      const at = (event) => Math.min(1.03, Math.max(-0.03, this.shareAt(event.clientY - hit.ownerSVGElement.getBoundingClientRect().top)));
      hit.addEventListener('pointerdown', (event) => { from = at(event); hit.setPointerCapture(event.pointerId); });
      hit.addEventListener('pointermove', (event) => {
        if (from === null) return;
        this.brushes.set(index, [Math.min(from, at(event)), Math.max(from, at(event))]);
        this.mark(false);
      });
      hit.addEventListener('pointerup', (event) => {
        // a click without a way chooses all of the axis again
        if (from !== null && Math.abs(at(event) - from) < 0.01) this.brushes.delete(index);
        from = null;
        this.mark(true);
      });
    }

    isIn(row) {
      return [...this.brushes].every(([index, [low, high]]) => {
        const share = this.scales[index].share(row.values[index]);
        return share !== undefined && share >= low - NEAR && share <= high + NEAR;
      });
    }

    mark(isDone) {
      const kept = this.rows.map((row) => this.isIn(row));
      this.paths.forEach((path, number) => path.classList.toggle('out', !kept[number]));
      this.root.querySelectorAll('.chosen').forEach((rect, index) => {
        const range = this.brushes.get(index);
        rect.setAttribute('visibility', range ? 'visible' : 'hidden');
        if (!range) return;
        rect.setAttribute('y', this.y(range[1]));
        rect.setAttribute('height', this.y(range[0]) - this.y(range[1]));
      });
      const count = kept.filter(Boolean).length;
      this.root.querySelector('output').textContent = count === kept.length ? `${count} networks` : `${count} of ${kept.length} networks`;
      this.root.querySelector('[data-part="clear"]').disabled = this.brushes.size === 0;
      if (!isDone || !tables.networks) return;
      tables.networks.keepOnly(this.brushes.size ? (row, number) => kept[number] : null, 'chosen on the axes');
    }

    point(event, number) {
      this.paths[number].classList.toggle('over', event !== null);
      this.tip.hidden = event === null;
      if (event === null) return;
      const row = this.rows[number];
      this.tip.textContent = this.axes.map((axis, index) => `${axis.title}: ${shown(row.values[index]) || '–'}`).join('\n') +
        (isMissing(row.run) ? '' : `\nrun ${row.run}`);
      const { offsetWidth, offsetHeight } = this.tip;
      this.tip.style.left = `${Math.max(4, Math.min(event.clientX + 14, innerWidth - offsetWidth - 8))}px`;
      this.tip.style.top = `${Math.max(4, Math.min(event.clientY + 14, innerHeight - offsetHeight - 8))}px`;
    }
  }

  const roomOf = (root) => root.querySelector('.parallel').clientWidth;

  // About five round numbers from low to high, so far apart at least.
  function steps(low, high, least) {
    const rough = Math.max(least, (high - low) / 5), power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough * 0.999);
    const found = [];
    for (let number = Math.ceil(low / step - 1e-9); number * step <= high * (1 + Math.sign(high) * 1e-9) && found.length < 20; number += 1) found.push(number * step);
    return found;
  }

  // Powers of ten, and the ends where there are less than two.
  function powers(low, high) {
    const found = [];
    for (let power = Math.ceil(Math.log10(low)); 10 ** power <= high; power += 1) found.push(10 ** power);
    return found.length < 2 ? [low, high] : found;
  }
  const cut = (text, length) => (text.length > length ? `${text.slice(0, length - 1)}…` : text);

  // --- n-cut against null -------------------------------------------------------------------

  function themed(layout) {
    const axis = { gridcolor: colourOf('--grid'), linecolor: colourOf('--line'), zerolinecolor: colourOf('--grid'), tickcolor: colourOf('--line') };
    return {
      ...layout,
      paper_bgcolor: 'rgba(0,0,0,0)', plot_bgcolor: 'rgba(0,0,0,0)',
      font: { color: colourOf('--ink'), family: 'system-ui, "DejaVu Sans", sans-serif', size: 13 },
      modebar: { bgcolor: 'rgba(0,0,0,0)', color: colourOf('--faint'), activecolor: colourOf('--ink') },
      hoverlabel: { bgcolor: colourOf('--raised'), bordercolor: colourOf('--line'), font: { color: colourOf('--ink') }, align: 'left' },
      xaxis: { ...layout.xaxis, ...axis }, yaxis: { ...layout.yaxis, ...axis, gridcolor: 'rgba(0,0,0,0)' },
    };
  }

  function drawFigure(place, { traces, layout }) {
    if (!window.Plotly) return;
    const options = { displaylogo: false, responsive: true, modeBarButtons: [['toImage', 'zoom2d', 'pan2d', 'resetScale2d']] };
    const react = () => window.Plotly.react(place, traces, themed(layout), options);
    react().then(() => place.on('plotly_click', ({ points }) => {
      const run = points[0].customdata;
      if (!isMissing(run)) window.open(addressOf(run), '_blank', 'noopener');
    }));
    return react;
  }

  // --- pictures -----------------------------------------------------------------------------

  function offerPictures(root) {
    const figures = [...root.querySelectorAll('figure')], selects = [...root.querySelectorAll('select')];
    const choose = () => {
      let count = 0;
      for (const figure of figures) {
        figure.hidden = !selects.every(({ name, value }) => value === '' || figure.dataset[name] === value);
        count += !figure.hidden;
      }
      root.querySelector('output').textContent = `${count} of ${figures.length} images`;
    };
    // Conditions that have such an image: not all stages have all labels.
    const offer = () => {
      const [name, condition] = selects, chosen = condition.value;
      const offered = new Set(figures.filter(({ dataset }) => name.value === '' || dataset.name === name.value)
        .map(({ dataset }) => dataset.condition));
      condition.replaceChildren(element('option', { value: '' }, 'all'), ...[...offered].map((one) => element('option', { value: one }, one)));
      condition.value = offered.has(chosen) ? chosen : '';
    };
    selects[0].addEventListener('change', offer);
    for (const select of selects) select.addEventListener('change', choose);
    const dialog = root.querySelector('dialog');
    root.addEventListener('click', (event) => {
      const open = event.target.closest('.open');
      if (!open) return;
      const image = open.querySelector('img');
      dialog.querySelector('img').replaceWith(element('img', { src: image.src, alt: image.alt }));
      dialog.querySelector('[data-part="caption"]').replaceChildren(...open.parentElement.querySelector('figcaption').cloneNode(true).childNodes);
      dialog.showModal();
    });
    offer();
    choose();
  }

  // --- all of it ----------------------------------------------------------------------------

  offerAddress();
  for (const table of document.querySelectorAll('table[data-sortable]')) makeSortable(table);
  for (const [name, content] of Object.entries(study.tables)) tables[name] = new BigTable(byId(name), content);
  if (study.parallel) new ParallelCoordinates(byId('parallel'), study.parallel);
  if (document.querySelector('#pictures dialog')) offerPictures(byId('pictures'));
  pointLinks();
  followRuns();
  window.addEventListener('hashchange', followRuns);

  document.addEventListener('DOMContentLoaded', () => {
    const redraw = study.figure && drawFigure(byId('ncut-figure'), study.figure);
    for (const media of redraw ? ['(prefers-color-scheme: dark)', 'print'] : []) matchMedia(media).addEventListener('change', redraw);
    document.documentElement.dataset.ready = 'true';
  });
  const print = (isPrinted) => {
    for (const table of Object.values(tables)) { table.isWhole = isPrinted; table.draw(); }
    for (const details of document.querySelectorAll('.lineage details')) {
      if (isPrinted) { details.dataset.was = details.open; details.open = true; }
      else details.open = details.dataset.was === 'true';
    }
  };
  window.addEventListener('beforeprint', () => print(true));
  window.addEventListener('afterprint', () => print(false));
})();
