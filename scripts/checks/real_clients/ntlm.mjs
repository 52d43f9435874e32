// An origin that logs connections in, by express-ntlm: `node ntlm.mjs FOLDER` prints its port.
// FOLDER holds node_modules. It says who it takes the connection's client to be.
import { createRequire } from "node:module";

const require = createRequire(process.argv[2] + "/");
const express = require("express");
const ntlm = require("express-ntlm");

const app = express();
app.use(ntlm());
app.all("/{*rest}", (request, response) => response.send(request.ntlm.UserName + "\n"));
const server = app.listen(0, "127.0.0.1", () => console.log(server.address().port));
