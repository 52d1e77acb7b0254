// Draws the plots, switches their views, filters the lines of the parallel axes, and fits the plots to paper.
"use strict";
// The buttons by name: plotly's own set has one that sends the data to its makers.
const BUTTONS = { zoom: ["toImage", "zoom2d", "pan2d", "resetScale2d"], select: ["toImage", "select2d"] };
const PAPER = 680;
const plots = [...document.querySelectorAll(".plot")];

function draw(plot) {
  const figure = JSON.parse(document.getElementById(`${plot.id}-data`).textContent);
  const modeBarButtons = [BUTTONS[figure.layout.dragmode || "zoom"]];
  return Plotly.newPlot(plot, figure.data, figure.layout, { responsive: true, displaylogo: false, modeBarButtons });
}

function show(button) {
  const plot = document.getElementById(button.dataset.plot);
  for (const other of button.parentElement.querySelectorAll("button")) {
    other.setAttribute("aria-pressed", String(other === button));
  }
  Plotly.restyle(plot, { visible: plot.data.map((trace) => trace.meta === button.dataset.view) });
}

// Whether the line that starts at `start` passes through the box.
function passes(trace, start, axes, box) {
  for (let axis = 0; axis < axes; axis++) {
    const height = trace.y[start + axis];
    if (axis >= box.x[0] && axis <= box.x[1] && height >= box.y[0] && height <= box.y[1]) return true;
  }
  return false;
}

function kept(trace, axes, boxes) {
  const heights = [...trace.y];
  for (let start = 0; start < heights.length; start += axes + 1) {
    if (boxes.every((box) => passes(trace, start, axes, box))) continue;
    heights.fill(null, start, start + axes);
  }
  return heights;
}

// A box at each of several axes keeps the lines that pass all of them; a line is `axes` points and a gap.
function filterLines(plot) {
  const axes = plot.layout.shapes.filter((shape) => shape.name === "axis").length;
  const whole = plot._fullData.map((trace) => ({ y: Array.from(trace.y) }));
  const boxOf = (s) => ({ x: [s.x0, s.x1].sort((a, b) => a - b), y: [s.y0, s.y1].sort((a, b) => a - b) });
  const filter = (boxes) => Plotly.restyle(plot, { y: whole.map((trace) => kept(trace, axes, boxes)) });
  plot.on("plotly_selected", () => filter((plot.layout.selections || []).map(boxOf)));
  plot.on("plotly_deselect", () => filter([]));
}

for (const button of document.querySelectorAll(".choices button")) button.addEventListener("click", () => show(button));
const drawn = Promise.all(plots.map(draw));
drawn.then(() => {
  const lines = document.getElementById("coordinates-plot");
  if (lines) filterLines(lines);
});
window.addEventListener("beforeprint", () => plots.forEach((plot) => Plotly.relayout(plot, { width: PAPER })));
window.addEventListener("afterprint", () => plots.forEach((plot) => Plotly.relayout(plot, { width: null, autosize: true })));
