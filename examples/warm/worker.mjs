// A worker for Node.js that waits warm.
//
//     leaderexec --warm --lock-file /tmp/my.lock -- node worker.mjs
//
// Before the line it only prepares itself; nothing that others could see. Node has no datagram
// sockets of Unix, so leaderexec --say-ready says READY=1 for it.

import { execFile } from "node:child_process";
import { createReadStream } from "node:fs";
import { promisify } from "node:util";

async function lead() {
  await promisify(execFile)("leaderexec", ["--say-ready"]);
  const gate = createReadStream("", { fd: Number(process.env.LEADEREXEC_GATE) });
  let text = "";
  for await (const part of gate) text += part;
  // Without a line, or with half of one, this replica does not lead: it is to end.
  if (!text.endsWith("\n")) process.exit(0);
  const [term, fence] = text.trimEnd().split(" ");
  return { term, fence };
}

process.on("SIGTERM", () => process.exit(0));
console.log("prepared");

const { term, fence } = await lead();
console.log(`working in term ${term}, fence ${fence || "none"}`);
setInterval(() => {}, 1000);
