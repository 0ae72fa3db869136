// JSON as text. A number that is read becomes a double, so what is shown or sent on is never read: integers of 64 bits stay whole.

// With a line for each value, indented.
export function pretty(json) {
  const shown = [];
  let depth = 0;
  const line = () => `\n${"  ".repeat(depth)}`;
  for (const token of tokens(json)) {
    if (token === "{" || token === "[") {
      depth += 1;
      shown.push(token, line());
    } else if (token === "}" || token === "]") {
      depth -= 1;
      shown.push(line(), token);
    } else if (token === ",") shown.push(token, line());
    else if (token === ":") shown.push(": ");
    else shown.push(token);
  }
  return shown.join("");
}

// Strings, empty brackets, signs, and numbers and words.
function* tokens(json) {
  const next = /"|\{\s*\}|\[\s*\]|[{}[\],:]|[^\s{}[\],:"]+/g;
  for (let found = next.exec(json); found; found = next.exec(json)) {
    if (found[0] === '"') next.lastIndex = end(json, found.index);
    yield json.slice(found.index, next.lastIndex);
  }
}

// Behind the string that begins there.
function end(json, begin) {
  let at = begin + 1;
  while (at < json.length && json[at] !== '"') at += json[at] === "\\" ? 2 : 1;
  return at + 1;
}

// An object of these values, and of one more that is JSON already.
export function withRaw(object, name, json) {
  const rest = JSON.stringify(object).slice(1, -1);
  return `{${rest}${rest ? "," : ""}${JSON.stringify(name)}:${json}}`;
}

// The value of an object that has this one alone: what stands between the name with its colon and the end.
export function only(json, name) {
  const inside = json.trim().slice(1, -1).trim();
  return inside.slice(JSON.stringify(name).length).trim().slice(1).trim();
}
