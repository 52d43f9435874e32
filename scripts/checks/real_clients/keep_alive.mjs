// An origin that closes connections that were idle for a time, to the millisecond, and may say so:
// `node keep_alive.mjs SECONDS (announced|silent)` prints its port. GETs are answered late: many of
// them at once are on many connections.
import { createServer } from "node:http";

const [, , idle, says] = process.argv;
const server = createServer((request, response) => {
  const { socket } = request;
  clearTimeout(socket.idle);
  response.on("finish", () => (socket.idle = setTimeout(() => socket.end(), idle * 1000)));
  // Node's own, which says one time and waits for another, is out of it.
  response.setHeader("Connection", "keep-alive");
  if (says === "announced") response.setHeader("Keep-Alive", `timeout=${idle}`);
  const answer = () => response.end("here\n");
  request.resume();
  request.on("end", () => setTimeout(answer, request.method === "GET" ? 300 : 0));
});
server.keepAliveTimeout = 0;
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
