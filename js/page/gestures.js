// The wheel and the middle button over an area of a node, where the canvas draws the nodes: handed to the canvas, as ComfyUI's own text
// fields do, so that the graph zooms and moves as it does over an image. Nodes 2.0 does this by itself.

/** element: the area; app: ComfyUI's. What scrolls inside of it keeps the wheel as long as there is something to scroll. */
export function passGestures(element, app) {
  const isDrawn = () => app.canvas && !globalThis.LiteGraph?.vueNodesMode;
  const scrolls = (from, down) => {
    for (let at = from; at && at !== element.parentElement; at = at.parentElement) {
      const room = at.scrollHeight - at.clientHeight;
      if (room > 1 && /auto|scroll/.test(getComputedStyle(at).overflowY) && (down ? at.scrollTop < room - 1 : at.scrollTop > 0)) return true;
    }
    return false;
  };
  element.addEventListener("wheel", (event) => {
    if (!isDrawn() || (!event.ctrlKey && scrolls(event.target, event.deltaY > 0))) return;
    event.preventDefault();
    event.stopPropagation();
    app.canvas.processMouseWheel(event);
  }, { passive: false });
  element.addEventListener("pointerdown", (event) => event.button === 1 && isDrawn() && app.canvas.processMouseDown(event));
  element.addEventListener("pointermove", (event) => event.buttons & 4 && isDrawn() && app.canvas.processMouseMove(event));
  element.addEventListener("pointerup", (event) => event.button === 1 && isDrawn() && app.canvas.processMouseUp(event));
}
