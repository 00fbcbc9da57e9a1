// Small makers of page elements. Text goes in as text, never as HTML.

/** make("button", {class: "x", type: "button", onclick: f}, "Save", child) */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

/** Sets an element's text. Only the text node changes: new children would have the whole page look for its :has() rules again. */
export function write(element, text) {
  if (element.firstChild) element.firstChild.data = text;
  else element.textContent = text;
}

/** A labelled slider. `change(value)` is called while it moves, `done()` when it is let go. Returns
 *  {element, set(value)}. */
export function slider(label, hint, { min, max, step, text }, change, done = () => {}) {
  const shown = make("output", { class: "hrv-value" });
  const input = make("input", {
    type: "range", min, max, step, "aria-label": label,
    oninput: () => {
      shown.textContent = text(input.valueAsNumber);
      change(input.valueAsNumber);
    },
    onchange: () => done(),
  });
  const element = make("label", { class: "hrv-control", title: hint }, make("span", {}, label), input, shown);
  const set = (value) => {
    input.value = value;
    shown.textContent = text(Number(value));
  };
  return { element, set, input };
}

/** A labelled choice; options: [[value, text], …]. Returns {element, set(value), fill(options)}. */
export function choice(label, hint, options, change) {
  const input = make("select", { "aria-label": label, onchange: () => change(input.value) });
  const fill = (list) => input.replaceChildren(...list.map(([value, text]) => make("option", { value }, text)));
  fill(options);
  const element = make("label", { class: "hrv-control", title: hint }, make("span", {}, label), input);
  return { element, fill, input, set: (value) => (input.value = value) };
}
