// One line per batch, from JavaScript: how many frames each camera sent, how far the sets are apart, how bright they are.
// Usage: npm install && node subscriber.mjs [tcp://127.0.0.1:5555 [GROUP [COUNT]]]. All it knows is docs/protocol.md.
import { decode } from "@msgpack/msgpack";
import { Subscriber } from "zeromq";

const [endpoint = "tcp://127.0.0.1:5555", group = "all", count = "10"] = process.argv.slice(2);
const socket = new Subscriber({ receiveHighWaterMark: 2 });
socket.connect(endpoint);
socket.subscribe(`batch/${group}`);

let left = Number(count);
let last = null;
for await (const [topic, packed, ...parts] of socket) {
  if (topic.toString() !== `batch/${group}`) continue; // a subscription is a prefix
  const header = decode(packed, { useBigInt64: true }); // nanoseconds of UTC are more than a double holds
  if (header.v !== 1) throw new Error(`version ${header.v} of the protocol is not known here`);
  const { epoch, seq, streams, frames, sets } = header;
  if (last !== null && last.epoch === epoch && seq !== last.seq + 1) console.log(`missed ${seq - last.seq - 1} batches`);
  last = { epoch, seq };

  const sent = Object.fromEntries(Object.keys(streams).map((name) => [name, { frames: 0, luma: 0 }]));
  for (const [name, , , , , , part] of frames) {
    const { format, width, height } = streams[name];
    const plane = format === "i420" || format === "gray8" ? parts[part].subarray(0, width * height) : [];
    sent[name].frames += 1;
    sent[name].luma = plane.reduce((sum, level) => sum + level, 0) / Math.max(1, plane.length);
  }
  const widest = sets.reduce((most, [spread]) => Math.max(most, Number(spread)), 0) / 1e6;
  console.log(JSON.stringify({ seq, sets: sets.length, widest_ms: widest, missing: header.missing, sent }));
  if (--left === 0) break;
}
socket.close();
