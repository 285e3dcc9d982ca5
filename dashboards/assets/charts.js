/* Plotly figures are drawn by the server for a wall 1920 pixels wide; here they are scaled to the real one. */
(function () {
  "use strict";
  window.dash_clientside = window.dash_clientside || {};
  const small = matchMedia("(max-width: 900px)");
  // A phone, where the wall scrolls, is read from a hand's distance.
  const unit = () => (small.matches ? .7 : Math.min(innerWidth, innerHeight * 1.7778) / 1920);
  function scaled(figure, k) {
    const copy = structuredClone(figure), layout = copy.layout || {};
    if (layout.font && layout.font.size) layout.font.size *= k;
    for (const side of Object.keys(layout.margin || {})) layout.margin[side] *= k;
    for (const note of layout.annotations || []) if (note.font) note.font.size *= k;
    for (const shape of layout.shapes || []) if (shape.line) { shape.line.width *= k; shape.line.dash = `${5 * k}px,${5 * k}px`; }
    for (const line of copy.data || []) if (line.line) line.line.width *= k;
    return copy;
  }
  window.dash_clientside.charts = {
    scale(figures) {
      const outputs = window.dash_clientside.callback_context.outputs_list;
      if (!figures) return outputs.map(() => window.dash_clientside.no_update);
      return outputs.map((output) => scaled(figures[output.id], unit()));
    },
  };
})();
