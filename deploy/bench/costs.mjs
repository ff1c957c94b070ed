// costs.mjs FOLDER TICKS CORES PERCENT SUFFIX=NAME…: the table of what one operation costs, from what run.sh has written.
import { readFileSync, readdirSync } from "node:fs";

const [folder, ticks, cores, percent, ...servers] = process.argv.slice(2);
const median = (list) => list.sort((a, b) => a - b)[Math.floor(list.length / 2)];
const costs = {};
for (const file of readdirSync(`${folder}/cost`)) {
  const [, scenario, suffix] = file.match(/^(\w+)-\d+-(\w+)$/) ?? [];
  const text = readFileSync(`${folder}/json/${file}`, "utf8");
  if (!scenario || text === "") continue;
  const { operations: counted } = JSON.parse(text).scenarios[0];
  if (!counted) continue; // it went wrong
  const [server, postgres, user, system] = readFileSync(`${folder}/cost/${file}`, "utf8").trim().split(" ").map(Number);
  // What is counted is the time without the warm-up, what was spent is with it.
  const operations = (counted * percent) / 100;
  const each = [server / ticks, suffix === "peer" || suffix === "sqlite" ? 0 : postgres / ticks, user + system].map((s) => (s * 1000) / operations);
  ((costs[scenario] ??= {})[suffix] ??= []).push(each);
}
console.log("| scenario | server | its own | PostgreSQL | passload | at most a second |");
console.log("|---|---|--:|--:|--:|--:|");
for (const [scenario, of] of Object.entries(costs)) {
  for (const [suffix, name] of servers.map((s) => s.split("="))) {
    if (!of[suffix]) continue;
    const [own, postgres, load] = [0, 1, 2].map((i) => median(of[suffix].map((each) => each[i])));
    const most = Math.floor((cores * 1000) / (own + postgres + load));
    console.log(`| ${scenario} | ${name} | ${own.toFixed(2)} | ${postgres ? postgres.toFixed(2) : ""} | ${load.toFixed(2)} | ${most} |`);
  }
}
