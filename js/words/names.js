// Names in a words field.

/** What two spellings of one name have in common: case and spaces do not matter. */
export const plain = (name) => name.toLowerCase().replace(/\s+/g, "");

/** Names in a words field, split at commas and line ends. */
export const splitNames = (text) => text.split(/[,\n]/).map((name) => name.trim()).filter(Boolean);

/** The names without `name` where they have it, else with it at their end. */
export function toggled(names, name) {
  const rest = names.filter((other) => plain(other) !== plain(name));
  return rest.length < names.length ? rest : [...rest, name];
}
