// The clients of Node for tls_clients.py: one request with the module https and one with http2.
//
//     node tls_client.mjs URL CA_PEM
//
// Prints a line of JSON for each: protocol of TLS, ALPN, status, and the body's SHA-256.

import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import http2 from "node:http2";
import https from "node:https";

const [url, caFile] = process.argv.slice(2);
const ca = readFileSync(caFile);

function report(name, socket, status, body) {
  const sha256 = createHash("sha256").update(Buffer.concat(body)).digest("hex");
  const alpn = socket.alpnProtocol || "http/1.1";
  console.log(JSON.stringify({ name, tls: socket.getProtocol(), alpn, status, sha256 }));
}

await new Promise((resolve, reject) => {
  const request = https.get(url, { ca, ALPNProtocols: ["http/1.1"] }, (answer) => {
    // Once the answer is over, it has no socket any more.
    const { socket } = answer;
    const body = [];
    answer.on("data", (piece) => body.push(piece));
    answer.on("end", () => resolve(report("https", socket, answer.statusCode, body)));
  });
  request.on("error", reject);
});

await new Promise((resolve, reject) => {
  const session = http2.connect(url, { ca });
  session.on("error", reject);
  const request = session.request({ ":path": new URL(url).pathname });
  const body = [];
  let status;
  request.on("response", (fields) => (status = fields[":status"]));
  request.on("data", (piece) => body.push(piece));
  request.on("end", () => {
    report("http2", session.socket, status, body);
    session.close(resolve);
  });
  request.on("error", reject);
});
