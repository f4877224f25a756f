// @NAME@ as Retrace sees it: releases, repositories, keys.
//
// The functions and their values are described in the contract: `retrace plugin wit` prints it. There are no files, no
// network and no clock here, and nothing is remembered from one call to the next.

const ID = "@ID@";
const NAME = "@NAME@";
// What builds put into the release of a package: `.@TAG@2`.
const DIST_TAG = "@TAG@";
// Newest first.
const RELEASES = [
  { version: "2", endOfLife: undefined },
  { version: "1", endOfLife: "2026-06-30" },
];
const ARCHITECTURES = ["x86_64", "aarch64"];
const MIRROR = "https://mirror.example.org/@ID@/$VER/$ARCH";

export const distribution = {
  describe() {
    return { id: ID, aliases: [], name: NAME, format: { tag: "rpm" }, pluginVersion: "0.1.0", annotations: [] };
  },

  releases() {
    return RELEASES.map(({ version, endOfLife }) => ({
      release: release(version),
      title: `${NAME} ${version}`,
      architectures: ARCHITECTURES,
      endOfLife,
      annotations: [],
    }));
  },

  parseRelease(source) {
    if (source.tag === "os-release") {
      const values = osRelease(source.val);
      if (values.get("ID") !== ID) return undefined;
      const version = values.get("VERSION_ID");
      if (!version) throw error("malformed-input", `os-release of ${NAME} without VERSION_ID: name the release`);
      return byVersion(version);
    }
    if (source.tag === "release-line") {
      const line = releaseLine(source.val);
      return line && line.name === NAME ? byVersion(line.version) : undefined;
    }
    return undefined;
  },

  guessRelease(subject) {
    if (subject.format && subject.format.tag !== "rpm") return undefined;
    const version = distTag(subject.raw);
    if (version === undefined) return undefined;
    return {
      release: byVersion(version),
      confidence: subject.vendor === NAME ? "certain" : "likely",
      reason: `release tag .${DIST_TAG}${version}`,
    };
  },

  repositories(release, arch) {
    check(release, arch);
    const repository = (id, what, content, folder) => ({
      id,
      title: `${NAME} ${release.version} ${what}`,
      layout: { tag: "rpm-md" },
      content,
      mirrors: [`${MIRROR}/${folder}/`],
      signatures: { metadata: false, packages: true },
      keys: [{ path: `${ID}/RPM-GPG-KEY-${ID}`, fingerprint: undefined }],
      config: [],
    });
    return [
      repository("base", "packages", "packages", "os"),
      repository("base-debuginfo", "debuginfo", "debug-info", "debug"),
    ];
  },

  debuggerFor(release, arch) {
    check(release, arch);
    return undefined;
  },

  parseFileNames(names) {
    return names.map(parseNevra);
  },

  formatFileName({ name, version, release, arch }) {
    if (release === undefined || release === null) {
      throw error("malformed-input", `package ${name} has no file name in this format`);
    }
    return `${name}-${version}-${release}.${arch}.rpm`;
  },

  debugPackages(subject) {
    if (subject.kind.tag !== "binary") return [];
    return ["info", "source"].map((what) => ({
      ...subject,
      name: `${subject.name}-debug${what}`,
      kind: { tag: `debug-${what}` },
    }));
  },
};

// What is thrown so is the contract's error; any other exception is a defect of the plugin.
function error(tag, val) {
  return { tag, val };
}

function release(version) {
  return { distro: ID, version, minor: undefined, codename: undefined, rolling: false };
}

function byVersion(version) {
  const known = RELEASES.map((entry) => entry.version);
  if (!known.includes(version)) {
    throw error("unsupported-release", `${NAME} ${cut(version)} (served: ${known.join(", ")})`);
  }
  return release(version);
}

function check({ distro, version }, arch) {
  if (distro !== ID) throw error("unsupported-release", `${cut(distro)} ${cut(version)}: this plugin serves ${ID}`);
  byVersion(version);
  if (!ARCHITECTURES.includes(arch)) {
    throw error("unsupported-architecture", `${NAME} has no packages for ${cut(arch)}`);
  }
}

// 64 characters, not 64 halves of surrogate pairs.
function cut(text) {
  return Array.from(text.slice(0, 128)).slice(0, 64).join("");
}

// The assignments of an os-release(5) file, as a shell reads them; an empty value counts as none.
function osRelease(text) {
  const values = new Map();
  for (const line of text.replace(/^\ufeff/, "").split(/[\n\r]/)) {
    const assignment = line.trim();
    const equals = assignment.indexOf("=");
    const key = assignment.slice(0, Math.max(equals, 0));
    if (/^[A-Za-z0-9_]+$/.test(key)) values.set(key, unquote(assignment.slice(equals + 1)));
  }
  return values;
}

function unquote(text) {
  let value = "";
  let quote;
  for (let i = 0; i < text.length; i++) {
    const c = text[i];
    if (quote === undefined && (c === '"' || c === "'")) quote = c;
    else if (c === quote) quote = undefined;
    else if (c === "\\" && quote !== "'") {
      const following = text[++i] ?? "";
      value += quote === '"' && !['"', "$", "\\", "`"].includes(following) ? `\\${following}` : following;
    } else if (quote === undefined && /\s/.test(c)) break;
    else value += c;
  }
  return value;
}

// Name and version of a line such as `@NAME@ release 2 (Code Name)`.
function releaseLine(text) {
  const line = text.trimStart().split(/[\n\r]/)[0].trim();
  const at = line.indexOf(" release ");
  if (at < 0) return undefined;
  const name = line.slice(0, at).trim();
  const version = line.slice(at + " release ".length).trim().split(/\s/)[0];
  return name && version ? { name, version } : undefined;
}

// The number behind the tag in the release of a package: `2` in `bash-5.2-1.@TAG@2.x86_64`.
function distTag(name) {
  const parts = name.slice(name.lastIndexOf("-") + 1).split(".").reverse();
  for (const part of parts) {
    if (!part.startsWith(DIST_TAG)) continue;
    const digits = part.slice(DIST_TAG.length).split(/[_~]/)[0];
    if (/^[0-9]{1,4}$/.test(digits)) return digits;
  }
  return undefined;
}

// As rpm names them; a plugin needs only those that its packages have.
const PACKAGE_ARCHITECTURES = ["noarch", "x86_64", "aarch64", "i686", "src", "nosrc"];

// `name-[epoch:]version-release.arch[.rpm]`; the epoch may also stand before the name.
function parseNevra(text) {
  if (text.length > 512 || !/^[!-.0-~]+$/.test(text)) return undefined;
  const [nevr, arch] = splitLast(text.replace(/\.rpm$/, ""), ".");
  if (!PACKAGE_ARCHITECTURES.includes(arch)) return undefined;
  const [nev, release] = splitLast(nevr, "-");
  let [name, version] = splitLast(nev, "-");
  let epoch;
  if (version.includes(":") && !name.includes(":")) [epoch, version] = splitFirst(version, ":");
  else if (name.includes(":") && !version.includes(":")) [epoch, name] = splitFirst(name, ":");
  if (epoch !== undefined && !(/^[0-9]+$/.test(epoch) && Number(epoch) < 2 ** 32)) return undefined;
  if ([name, version, release].some((part) => ["", ".", ".."].includes(part) || part.includes(":"))) return undefined;
  return {
    name,
    epoch: epoch === undefined ? undefined : Number(epoch),
    version,
    release,
    arch,
    kind: { tag: kindOf(name, arch) },
  };
}

function kindOf(name, arch) {
  if (arch === "src" || arch === "nosrc") return "source";
  if (name.endsWith("-debuginfo") || name.includes("-debuginfo-common")) return "debug-info";
  return name.endsWith("-debugsource") ? "debug-source" : "binary";
}

// The parts before and behind the last separator; an empty first part if there is none.
function splitLast(text, separator) {
  const at = text.lastIndexOf(separator);
  return [text.slice(0, Math.max(at, 0)), text.slice(at + 1)];
}

function splitFirst(text, separator) {
  const at = text.indexOf(separator);
  return [text.slice(0, at), text.slice(at + 1)];
}
