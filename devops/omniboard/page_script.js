'use strict';
// Runs in the browser, before Omniboard's own script, which `page.js` has call it.
window.nnClustering = (function () {
  const SIGNIFICANT = 4;
  const LARGE = 1e4; // from here on whole numbers are exact enough
  const LARGEST = 1e15;
  const FIGURES = ['png', 'svg', 'jpg', 'jpeg', 'gif', 'webp'];
  const TEXTS = ['csv', 'md', 'txt', 'json', 'html'];
  const BINARY = ['npz', 'npy', 'keras', 'h5', 'hdf5', 'parquet', 'bin'];
  const SETTINGS = /^config\..*\.yaml$/; // the files that set the run's config
  let wanted = []; // last words of the names of metrics that a plot shows at first

  // A column cuts off what does not fit, so that 1.2345678e-7 would be read as 1.2345.
  function rounded(number) {
    if (Number.isInteger(number) || !Number.isFinite(number)) return number;
    const size = Math.abs(number);
    return size >= LARGE && size < LARGEST ? Math.round(number) : Number(number.toPrecision(SIGNIFICANT));
  }

  function text(value) {
    return JSON.stringify(value, (key, entry) => (typeof entry === 'number' ? rounded(entry) : entry));
  }

  // What the tooltip of a cell says: the number as it is stored.
  function exact(value) {
    return typeof value === 'number' && rounded(value) !== value ? String(value) : undefined;
  }

  // Artifacts with those first that are looked at.
  function ordered(files) {
    const rank = ({ name }) => {
      if (SETTINGS.test(name)) return 3;
      const ending = String(name).split('.').pop().toLowerCase();
      const kind = [FIGURES, TEXTS, BINARY].findIndex((endings) => endings.includes(ending));
      return [0, 1, 4][kind] ?? 2;
    };
    return [...files].sort((one, other) => rank(one) - rank(other));
  }

  // Metrics that the plot of a run shows: those that were chosen before, where it has any.
  function plotted(names, chosen) {
    const sets = [
      names.filter((name) => chosen.includes(name)),
      ...wanted.map((word) => names.filter((name) => name.split('.').pop() === word)),
    ];
    return sets.find((set) => set.length > 0) || names;
  }

  function setOnce(key, value) {
    if (!localStorage.getItem(key)) localStorage.setItem(key, JSON.stringify(value));
  }

  // What a browser shows at its first visit; what is changed there stays.
  function begin({ table, plot, metrics }) {
    wanted = metrics;
    if (table) setOnce('default|RunsTable|1', table);
    // Omniboard takes the name of the database for part of the key, and has none here.
    setOnce('undefined|MetricsPlotView|default', plot);
  }

  return { text, exact, ordered, plotted, begin };
})();
