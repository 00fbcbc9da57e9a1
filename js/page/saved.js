// A node's values in a workflow file: written without gaps, and files that an earlier version of the pack damaged.

/** Closes the gaps in a node's values that are about to be saved. Pages up to 1.52 leave one for a widget that is not saved,
 *  and do not skip it when they load the file; newer ones leave none. */
export function closeGaps(saved) {
  if (Array.isArray(saved.widgets_values)) saved.widgets_values = saved.widgets_values.filter(() => true); // skips gaps
}

/** Puts a node's values right after it was loaded from a damaged file.
 *
 *  Up to version 0.1.0 the pack cut a value out of `widgets_values` on pages from 1.53 on: the one after its `words` field.
 *  Those behind it slid by one. `widgets_values_named`, which all these pages write, is whole in the same file.
 *  saved: the node in the file. fields: its widgets that are saved, in order. words: name of the field before the cut.
 *  Returns "mended", "wrong" where fields were left with values that cannot be theirs, or "" for a healthy file. */
export function mend(saved, fields, words) {
  const { widgets_values: values, widgets_values_named: named } = saved ?? {};
  if (!Array.isArray(values)) return "";
  const mended = isCut(values, named, words);
  if (mended) {
    for (const field of fields) if (Object.hasOwn(named, field.name)) field.value = named[field.name];
  }
  const value = (field, i) => (mended ? named[field.name] : values[i]);
  if (!fields.every((field, i) => fits(field, value(field, i)))) return "wrong";
  return mended ? "mended" : "";
}

/** Whether the values are exactly those with names, without the one after `words`. */
function isCut(values, named, words) {
  const all = Object.entries(named ?? {});
  const cut = all.findIndex(([name]) => name === words) + 1;
  if (cut < 1 || cut >= all.length) return false;
  const left = all.filter((_, i) => i !== cut).map(([, value]) => value);
  return JSON.stringify(left) === JSON.stringify(values);
}

const KINDS = { number: "number", toggle: "boolean", combo: "string", text: "string", customtext: "string" };

/** Whether a field can hold a value, by its kind: what a field offers may have changed since the file was saved. A value
 *  that the file does not have is the field's default. */
function fits(field, value) {
  const kind = Object.hasOwn(KINDS, field.type) ? KINDS[field.type] : null;
  return value == null || !kind || typeof value === kind;
}
