'use strict'
// Puts the addon and its library into native/, and makes them first: cargo must be there.
//
//     npm run build
//
// CARGO, CARGO_TARGET_DIR (of the bindings) and ANASAZI_LIB_DIR (of libanasazi.so.1) are as for
// the other bindings.

const { spawnSync } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')

const top = path.join(__dirname, '..', '..')
const release = process.env.ANASAZI_LIB_DIR ?? path.join(top, 'target', 'release')
const library = path.join(release, 'libanasazi.so.1')
const target = process.env.CARGO_TARGET_DIR ?? path.join(top, 'target', 'bindings')

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

if (!fs.existsSync(library)) run('make', ['lib', 'CARGO_TARGET_DIR='], top, { CARGO_TARGET_DIR: undefined })
const cargo = process.env.CARGO ?? 'cargo'
run(cargo, ['build', '--release', '--locked', '-p', 'anasazi-node'], path.join(top, 'bindings'), {
  CARGO_TARGET_DIR: target, ANASAZI_LIB_DIR: path.resolve(release)
})
const native = path.join(__dirname, 'native')
fs.mkdirSync(native, { recursive: true })
put(path.join(target, 'release', 'libanasazi_node.so'), path.join(native, 'anasazi.node'))
put(library, path.join(native, 'libanasazi.so.1'))
fs.copyFileSync(path.join(top, 'LICENSE'), path.join(__dirname, 'LICENSE'))
