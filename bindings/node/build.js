'use strict'
// Puts the addon and its library into native/, and makes them first: cargo must be there.
//
//     npm run build
//
// Variables: CARGO; CARGO_TARGET_DIR, in which `bindings` is ours; ANASAZI_LIB_DIR, where
// libanasazi.so.1 is.

const { spawnSync } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')

const top = path.join(__dirname, '..', '..')
const targets = path.resolve(process.env.CARGO_TARGET_DIR ?? path.join(top, 'target'))
const release = path.resolve(process.env.ANASAZI_LIB_DIR ?? path.join(targets, 'release'))
const library = path.join(release, 'libanasazi.so.1')
const target = path.join(targets, 'bindings')

function run (program, args, cwd, env = {}) {
  const { status, error } = spawnSync(program, args, {
    cwd, stdio: 'inherit', env: { ...process.env, ...env }
  })
  if (error !== undefined) throw error
  if (status !== 0) process.exit(status ?? 1)
}

/** Without what only a debugger needs. */
function put (from, to) {
  // A process that has the old one open keeps it.
  fs.rmSync(to, { force: true })
  fs.copyFileSync(from, to)
  run('strip', ['--strip-unneeded', to], top)
}

if (!fs.existsSync(library)) run('make', ['lib'], top)
const cargo = process.env.CARGO ?? 'cargo'
run(cargo, ['build', '--release', '--locked', '-p', 'anasazi-node'], path.join(top, 'bindings'), {
  CARGO_TARGET_DIR: target, ANASAZI_LIB_DIR: release
})
const native = path.join(__dirname, 'native')
fs.mkdirSync(native, { recursive: true })
put(path.join(target, 'release', 'libanasazi_node.so'), path.join(native, 'anasazi.node'))
put(library, path.join(native, 'libanasazi.so.1'))
fs.copyFileSync(path.join(top, 'LICENSE'), path.join(__dirname, 'LICENSE'))
