// The OpenID provider of oidc.py: npm's oidc-provider, on loopback, with keys that change and with
// failures on demand.
//
//     node oidc_issuer.mjs FOLDER PORT        (FOLDER has the node_modules with oidc-provider)
//
// Commands are lines of JSON on stdin, {"do": …}; each is answered by a line on stdout, the first
// line says that it listens. It ends with its stdin. What the packages print goes to stderr.

import { generateKeyPair, randomUUID } from "node:crypto";
import http from "node:http";
import path from "node:path";
import readline from "node:readline";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";

console.log = console.info = console.warn = console.error;
const [folder, port] = process.argv.slice(2);
const load = (file) => import(pathToFileURL(path.resolve(folder, "node_modules", file)));
const { Provider } = await load("oidc-provider/lib/index.js");
const jose = await load("jose/dist/webapi/index.js");

const issuer = `http://127.0.0.1:${port}`;
const FORMATS = {
  "https://api.test": "jwt",
  "https://other.test": "jwt",
  "https://opaque.test": "opaque",
};

async function newKey() {
  const pair = await promisify(generateKeyPair)("rsa", { modulusLength: 2048 });
  return { ...pair, kid: randomUUID() };
}

// It knows none of the opaque tokens of the one before.
function newProvider(keys) {
  const jwk = ({ privateKey, kid }) => ({
    ...privateKey.export({ format: "jwk" }), kid, use: "sig", alg: "RS256",
  });
  const client = (id) => ({
    client_id: id,
    client_secret: `${id}-secret`,
    grant_types: ["client_credentials"],
    redirect_uris: [],
    response_types: [],
  });
  const resourceServer = (_, resource) => ({
    scope: "read write",
    audience: resource,
    accessTokenFormat: FORMATS[resource],
    accessTokenTTL: 600,
    jwt: FORMATS[resource] === "jwt" ? { sign: { alg: "RS256", kid: keys[0].kid } } : undefined,
  });
  return new Provider(issuer, {
    clients: [client("alice"), client("proxy")],
    jwks: { keys: keys.map(jwk) },
    scopes: ["read", "write"],
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      introspection: { enabled: true, allowedPolicy: () => true },
      resourceIndicators: { enabled: true, getResourceServerInfo: resourceServer },
      revocation: { enabled: true, allowedPolicy: () => true },
    },
    ttl: { ClientCredentials: (_, token) => token.resourceServer?.accessTokenTTL ?? 600 },
  }).callback();
}

const stranger = await newKey();
// The first one signs. Those that were rotated out are kept to sign what must be refused.
let keys = [await newKey()];
let gone = [];
let provider = newProvider(keys);
let server;
// How a path answers: "well", "error" (500), "silent" (not at all), "hang up".
const modes = new Map();
// When each path was asked, in seconds, and its query.
const asked = new Map();

function answer(request, response) {
  const { pathname, search } = new URL(request.url, issuer);
  if (!asked.has(pathname)) asked.set(pathname, []);
  asked.get(pathname).push([performance.now() / 1000, search]);
  switch (modes.get(pathname) ?? "well") {
    case "well":
      return provider(request, response);
    case "error":
      return response.writeHead(500).end("out of order");
    case "hang up":
      return request.socket.destroy();
  }
}

function start() {
  server = http.createServer(answer);
  return new Promise((resolve, reject) => {
    server.once("error", reject).listen(port, "127.0.0.1", resolve);
  });
}

function stop() {
  const closed = new Promise((resolve) => server.close(resolve));
  server.closeAllConnections();
  return closed;
}

// `pem`: the public key's text as a secret, as a verifier that confuses the two would take it.
const secrets = {
  pem: () => keys[0].publicKey.export({ type: "spki", format: "pem" }),
  "pem without line end": () => secrets.pem().trimEnd(),
  "PKCS#1 pem": () => keys[0].publicKey.export({ type: "pkcs1", format: "pem" }),
  der: () => keys[0].publicKey.export({ type: "spki", format: "der" }),
  modulus: () => Buffer.from(keys[0].publicKey.export({ format: "jwk" }).n, "base64url"),
};

function forged(header, claims) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  return `${part(header)}.${part(claims)}.`;
}

const commands = {
  // A token with these fields beside the usual ones; null takes one away.
  async sign({ header = {}, claims = {}, by = "issuer" }) {
    const now = Math.floor(Date.now() / 1000);
    const usual = { iss: issuer, aud: "https://api.test", sub: "alice", iat: now, exp: now + 600 };
    const all = { ...usual, scope: "read", jti: randomUUID(), ...claims };
    const given = Object.fromEntries(Object.entries(all).filter(([, value]) => value !== null));
    const pair = { gone: gone.at(-1), stranger }[by] ?? keys[0];
    const kid = by === "gone" ? pair.kid : keys[0].kid;
    const fields = { alg: "RS256", typ: "at+jwt", kid, ...header };
    if (fields.kid === null) delete fields.kid;
    if (fields.jwk === "own") fields.jwk = stranger.publicKey.export({ format: "jwk" });
    if (by === "nobody") return forged(fields, given);
    const key = by in secrets ? new Uint8Array(Buffer.from(secrets[by]())) : pair.privateKey;
    return new jose.SignJWT(given).setProtectedHeader(fields).sign(key);
  },
  // Another key signs; the set has it and the last `keep` ones.
  async rotate({ keep = 0 }) {
    gone = [...gone, ...keys.slice(keep).reverse()];
    keys = [await newKey(), ...keys.slice(0, keep)];
    provider = newProvider(keys);
    return keys.length;
  },
  mode({ path: of, is }) {
    modes.set(of, is);
  },
  asked({ path: of }) {
    return asked.get(of) ?? [];
  },
  start,
  stop,
};

const say = (line) => process.stdout.write(JSON.stringify(line) + "\n");
await start();
say({ said: issuer });
for await (const line of readline.createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  try {
    say({ said: (await commands[command.do](command)) ?? null });
  } catch (error) {
    say({ error: String(error) });
  }
}
process.exit();
