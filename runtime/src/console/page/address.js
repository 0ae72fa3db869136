// What stands behind the `#` of the address: which page is open, and of what.

// The parts of it. One that nobody wrote as an address is read as it stands.
export function parts() {
  return location.hash.replace(/^#\/?/, "").split("/").map(decoded);
}

// The token that came with the address, in the part that no server sees. It does not stay there, whatever it is.
export function takeToken() {
  const found = /^#token=(.+)$/.exec(location.hash);
  if (!found) return null;
  history.replaceState(null, "", "#/mesh");
  return decoded(found[1]);
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
