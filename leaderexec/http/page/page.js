"use strict";
// Everything that is shown comes from elsewhere and is set as text, never as markup; the policy that
// this page is served with refuses anything else.
(() => {
  const RETRY = 1000;
  // A message comes each second. Without one for so long, what is shown is old.
  const SILENCE = 5000;
  const at = (id) => document.getElementById(id);

  let stream = null;
  let heardAt = performance.now();
  let skew = 0;
  let version = null;

  // Only what differs is touched, so that a screen reader is not told each second.
  function write(element, text, className = "") {
    if (element.textContent !== text) element.textContent = text;
    if (element.className !== className) element.className = className;
  }

  function children(parent, count, make) {
    while (parent.children.length > count) parent.lastElementChild.remove();
    while (parent.children.length < count) parent.append(make());
    return parent.children;
  }

  function element(name, properties = {}) {
    return Object.assign(document.createElement(name), properties);
  }

  function duration(seconds) {
    if (seconds < 10) return `${seconds.toFixed(1)}s`;
    const parts = [];
    let rest = Math.floor(seconds);
    for (const [size, unit] of [[86400, "d"], [3600, "h"], [60, "m"], [1, "s"]]) {
      const count = Math.floor(rest / size);
      rest %= size;
      if (count || parts.length) parts.push(`${count}${unit}`);
    }
    return parts.slice(0, 2).join(" ");
  }

  // Both clocks may be wrong; ages are by the server's.
  const ago = (moment) => Math.max(0, (Date.now() + skew - Date.parse(moment)) / 1000);

  function clockTime(moment) {
    const when = new Date(moment);
    if (Number.isNaN(when.getTime())) return "";
    const today = when.toDateString() === new Date().toDateString();
    return today ? when.toLocaleTimeString() : when.toLocaleString();
  }

  function since(moment) {
    const text = moment ? clockTime(moment) : "";
    return text ? `since ${text}, for ${duration(ago(moment))}` : "";
  }

  const joined = (...parts) => parts.filter((part) => part).join(", ");

  function list(id, entries) {
    const shown = entries.filter((entry) => entry !== null);
    const made = children(at(id), shown.length * 2, () =>
      element(at(id).children.length % 2 ? "dd" : "dt"));
    shown.forEach(([name, text, className], index) => {
      write(made[index * 2], name);
      write(made[index * 2 + 1], text, className);
    });
  }

  function rows(id, entries) {
    const made = children(at(id), entries.length, () => element("tr"));
    entries.forEach(({ className = "", cells }, index) => {
      made[index].className = className;
      const own = children(made[index], cells.length, () =>
        made[index].children.length ? element("td") : element("th", { scope: "row" }));
      cells.forEach((cell, column) => {
        const [text, look] = Array.isArray(cell) ? cell : [cell, ""];
        write(own[column], text, look);
      });
    });
  }

  function headline(status) {
    if (!status.confirmed) {
      const was = status.leader ? ` The last one known is ${status.leader}.` : "";
      return [`Who leads is not known: no contact with the election.${was}`, "bad"];
    }
    if (status.is_leader && status.role === "running") {
      return status.healthy === false
        ? ["This replica leads, and its command has not proved healthy.", "doubt"]
        : ["This replica leads, and its command runs.", "good"];
    }
    if (status.is_leader) return [`This replica leads; its role is ${status.role}.`, "doubt"];
    if (status.leader) return [`${status.leader} leads. This replica is in ${status.role}.`, ""];
    return [`No leader is known. This replica is in ${status.role}.`, "doubt"];
  }

  function contact(status) {
    const { age_seconds: age, timeout_seconds: limit, stream_open: open } = status.contact;
    const parts = [status.confirmed ? "confirmed" : "not confirmed"];
    if (status.election === "elector") {
      parts.push(age === null ? "never heard" : `heard ${duration(age)} ago`);
      if (limit !== null) parts.push(`timeout ${duration(limit)}`);
      parts.push(open ? "stream open" : "stream closed");
    }
    for (const { part, kind, count } of status.contact.troubles) {
      parts.push(`${part}: ${count} × ${kind}`);
    }
    return ["Contact", parts.join(", "), status.confirmed ? "" : "bad"];
  }

  function lease(said) {
    if (!said) return null;
    const words = { true: "confirms the leader", false: "does not confirm the leader" };
    const text = said.refused ? "may not be read" : words[said.confirms] ?? "not known yet";
    return ["Lease", joined(said.name, text), said.confirms === false ? "bad" : ""];
  }

  function slots({ slot, slots: holders }) {
    if (!holders) return null;
    const all = holders.map((who, number) => `${number}: ${who ?? "free"}`).join(", ");
    return ["Slots", joined(slot === null ? "none here" : `${slot} here`, all)];
  }

  function label(said) {
    if (!said) return null;
    const text = `${said.label} ${said.set ? "set" : "not set"} on ${said.pod}`;
    return ["Label", joined(text, said.error), said.error || said.set !== said.wanted ? "doubt" : ""];
  }

  // Of a command that does not run there is nothing to say.
  function health({ role, healthy }) {
    const words = { true: ["healthy", "good"], false: ["not healthy", "doubt"] };
    return (role === "running" && words[healthy]) || ["–", ""];
  }

  function showLeadership(status) {
    write(at("identity"), status.identity);
    write(at("version"), `leaderexec ${status.version}, election: ${status.election}`);
    write(at("headline"), ...headline(status));
    document.title = `${status.is_leader ? "★ " : ""}${status.identity}: ${status.role}`;
    list("leadership", [
      ["Leader", status.leader ? joined(status.leader, since(status.since)) : "none known"],
      ["Role", joined(status.role, since(status.role_since))],
      ["Reason", status.reason || "–"],
      ["Term", String(status.term)],
      ["Fence", status.fence === null ? "–" : String(status.fence)],
      slots(status),
      contact(status),
      lease(status.lease),
      label(status.leader_label),
    ]);
  }

  function showCommand(status) {
    const command = status.command;
    const runs = command.pid !== null
      ? joined(`pid ${command.pid}`, since(command.started))
      : status.hook ? `not yet: --${status.hook} runs` : "not running";
    const due = joined(
      command.starts_in_seconds !== null && `starts in ${duration(command.starts_in_seconds)}`,
      command.killed_in_seconds !== null && `killed in ${duration(command.killed_in_seconds)}`,
      command.last_code !== null && `last ended with ${command.last_code}`,
      command.starts > 1 && `${command.starts} starts`,
    );
    list("command", [
      ["Program", command.arguments.join(" ")],
      ["Runs", joined(runs, due)],
      status.healthy === null ? null : ["Health", ...health(status)],
      command.said ? ["It says", command.said] : null,
    ]);
    showTree(status);
  }

  function showTree(status) {
    const depth = new Map();
    rows("tree-rows", status.tree.map((process) => {
      const level = (depth.get(process.parent) ?? -1) + 1;
      depth.set(process.pid, level);
      const minutes = Math.floor(process.cpu_seconds / 60);
      const seconds = (process.cpu_seconds - 60 * minutes).toFixed(1).padStart(4, "0");
      return {
        cells: [
          `${"\u00a0\u00a0\u00a0".repeat(Math.max(0, level - 1))}${level ? "└ " : ""}${process.command}`,
          [String(process.pid), "number"],
          process.state,
          [`${(process.resident_memory_bytes / 1e6).toFixed(1)} MB`, "number"],
          [`${minutes}:${seconds}`, "number"],
        ],
      };
    }));
    at("tree").hidden = !status.tree.length;
    const left = status.tree_left_out;
    write(at("tree-left-out"), left ? `and ${left} more processes` : "", "quiet");
  }

  function showTransitions(transitions) {
    const newest = [...transitions].reverse();
    const made = children(at("transitions"), newest.length, () => {
      const line = element("li");
      line.append(element("time"), element("span"), element("span", { className: "after" }));
      return line;
    });
    newest.forEach((told, index) => {
      const [time, text, after] = made[index].children;
      time.dateTime = told.at;
      write(time, clockTime(told.at));
      write(text, `${told.from} → ${told.to}, term ${told.term}: ${told.reason} `);
      write(after, `after ${duration(told.after_seconds)}`, "after");
    });
    at("no-transitions").hidden = newest.length > 0;
  }

  function showPeers(peers) {
    at("peers").hidden = peers === null;
    if (peers === null) return;
    if (!peers.replicas) {
      write(at("peers-summary"), "The replicas are being asked…");
      rows("peers-rows", []);
      write(at("peers-asked"), "", "quiet");
      return;
    }
    write(at("peers-summary"), peers.summary);
    rows("peers-rows", peers.replicas.map((one) => {
      const answers = one.role !== null;
      const leads = one.is_leader === true;
      const number = (value) => [value === null ? "–" : String(value), "number"];
      return {
        className: leads ? "leads" : "",
        cells: [
          one.identity || one.address,
          one.unfit ? [leads ? "leads, unfit" : "unfit", "bad"] : leads ? ["leads", "good"] : "fit",
          one.role ?? "–",
          answers && one.role_since && clockTime(one.role_since) ? duration(ago(one.role_since)) : "–",
          number(one.term),
          number(one.fence),
          health(one),
          one.unfit ? [one.unfit, "bad"] : one.reason || "",
        ],
      };
    }));
    const left = peers.left_out ? ` ${peers.left_out} more were not asked.` : "";
    write(at("peers-asked"), `Asked by this replica at ${clockTime(peers.asked)}.${left}`, "quiet");
  }

  function show(told) {
    skew = Date.parse(told.now) - Date.now();
    showLeadership(told.status);
    showPeers(told.peers);
    showCommand(told.status);
    showTransitions(told.status.transitions);
  }

  function hear(event) {
    const told = JSON.parse(event.data);
    // Another version, after an update, may have another page.
    if (version !== null && told.status.version !== version) { location.reload(); return; }
    version = told.status.version;
    show(told);
    heardAt = performance.now();
    at("lost").hidden = true;
    document.body.className = "";
  }

  function lose() {
    stream.close();
    if (at("lost").hidden) {
      const when = new Date().toLocaleTimeString();
      write(at("lost"), `No word from this replica's server since ${when}: what is shown below is old.`);
      at("lost").hidden = false;
      document.body.className = "stale";
      document.title = `✗ ${at("identity").textContent}`;
    }
    setTimeout(connect, RETRY);
  }

  function connect() {
    heardAt = performance.now();
    const own = new EventSource("events");
    stream = own;
    own.onmessage = hear;
    // Also after a response that is no stream, for which the browser itself would not try again.
    own.onerror = () => { if (stream === own && own.readyState !== own.OPEN) lose(); };
  }

  setInterval(() => {
    if (performance.now() - heardAt > SILENCE && stream.readyState !== stream.CLOSED) lose();
  }, 1000);
  connect();
})();
