'use strict'
// Engines in this process: driven by the loop of this thread, or by a thread of their own.

const native = require('./native')
const { Connection } = require('./connection')
const { fromFailure, fromStatus, invalid, shown, status } = require('./errors')
const { fileOf, settingsOf } = require('./options')

class Engine {
  #engine
  #isThreaded
  #closing
  #left
  #connections = new Set()

  constructor (options) {
    const settings = settingsOf(options)
    const drive = options?.drive ?? 'loop'
    if (drive !== 'loop' && drive !== 'thread') {
      throw invalid(`an engine is driven by "loop" or "thread", not ${shown(drive)}`)
    }
    const made = native.newEngine(fileOf(options), settings)
    if (!(made instanceof native.Engine)) throw fromFailure(made)
    this.#engine = made
    this.#isThreaded = drive === 'thread'
    const result = this.#isThreaded ? made.startThread() : made.watch(() => this.#process())
    if (result !== status.OK) throw fromStatus(result)
  }

  #process () {
    const result = this.#engine.process()
    if (result > 0) setImmediate(() => this.#process())
    else if (result < 0) this.#left?.()
  }

  async connect (options) {
    if (this.#closing !== undefined) {
      throw fromStatus(status.ECLOSED, 'the engine was closed: make another')
    }
    const made = this.#engine.connect(fileOf(options), settingsOf(options))
    if (!(made instanceof native.Session)) throw fromFailure(made)
    const connection = new Connection(made)
    this.#connections.add(connection)
    connection.once('close', () => this.#connections.delete(connection))
    // It may have something to do that no descriptor tells of.
    if (!this.#isThreaded) this.#process()
    return connection
  }

  ref () {
    this.#engine.setRef(true)
    return this
  }

  unref () {
    this.#engine.setRef(false)
    return this
  }

  close () {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close () {
    for (const connection of this.#connections) await connection.close()
    this.#engine.stop()
    if (!this.#isThreaded) {
      await new Promise((resolve) => {
        this.#left = resolve
        this.#process()
      })
    }
    await this.#engine.free()
  }

  [Symbol.asyncDispose] () {
    return this.close()
  }
}

module.exports = { Engine }
