// Draws the table of hours by state as stacked bars. The table stays: it is the same in figures.
"use strict";
(() => {
  const place = document.querySelector("[data-chart=hours]");
  if (!place || !window.uPlot) return;
  let plot = null, drawn = "";
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
  const draw = () => {
    const table = document.getElementById("hours");
    if (!table) return;
    const states = [...table.querySelectorAll("[data-state]")].map((head) => ({ name: head.dataset.state, label: head.textContent }));
    const rows = [...table.tBodies[0].rows].reverse();
    const days = rows.map((row) => row.cells[0].textContent);
    const hours = states.map((_, at) => rows.map((row) => Number(row.cells[at + 1].dataset.hours)));
    const width = Math.max(220, Math.floor(place.clientWidth)), now = JSON.stringify([days, hours, width, colour("ink")]);
    if (now === drawn) return;
    drawn = now;
    if (plot) plot.destroy();
    // The tallest first, so that each bar is seen above the one drawn after it.
    const tops = hours.map((_, at) => days.map((_, day) => hours.slice(0, at + 1).reduce((sum, one) => sum + one[day], 0)));
    const order = states.map((_, at) => at).reverse(), bars = window.uPlot.paths.bars({ size: [0.7, 60] });
    plot = new window.uPlot({
      width, height: 190, cursor: { show: false }, legend: { show: false },
      scales: { x: { time: false, range: [-0.6, days.length - 0.4] }, y: { range: [0, 24] } },
      axes: [
        { stroke: colour("soft"), grid: { show: false }, ticks: { show: false }, splits: () => days.map((_, at) => at), values: (_, at) => at.map((one) => width < 420 ? days[one].slice(0, 3) : days[one]) },
        { stroke: colour("soft"), grid: { stroke: colour("line"), width: 1 }, ticks: { show: false }, splits: () => [0, 6, 12, 18, 24], values: (_, at) => at.map((one) => one + " h"), size: 44 },
      ],
      series: [{}, ...order.map((at) => ({ fill: colour(states[at].name), stroke: colour(states[at].name === "unknown" ? "edge" : "card"), width: 1, paths: bars, points: { show: false } }))],
    }, [days.map((_, at) => at), ...order.map((at) => tops[at])], place);
  };
  draw();
  document.addEventListener("desk:fresh", draw);
  window.addEventListener("resize", draw);
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
})();
