/** What both pages do: ask the bank, and ask the customer's device. */

export async function ask(path, body) {
  const method = body ? "POST" : "GET";
  const headers = { "content-type": "application/json" };
  const reply = await fetch(path, { method, headers, body: body && JSON.stringify(body) });
  const said = await reply.json();
  if (!reply.ok) throw new Error(said.code);
  return said;
}

export async function create(options) {
  const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(options);
  return (await navigator.credentials.create({ publicKey })).toJSON();
}

export async function sign(options, how = {}) {
  const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(options);
  return (await navigator.credentials.get({ publicKey, ...how })).toJSON();
}

/** Words for customers. Which step of a login failed is told to nobody. */
export function words(error) {
  const known = {
    NotAllowedError: "Cancelled. Nothing was done.",
    InvalidStateError: "This device has a passkey here already. Log in with it.",
    authentication_failed: "That did not work. Check the address, or create a passkey.",
  };
  return known[error.name] ?? known[error.message] ?? "Something went wrong. Please try again.";
}
