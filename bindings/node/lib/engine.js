'use strict'
// Engines in this process: driven by the loop of this thread, or by a thread of their own.

const EventEmitter = require('node:events')
const native = require('./native')
const { Connection } = require('./connection')
const { fromFailure, fromStatus, invalid, isFailure, shown, status } = require('./failure')
const { checkKeys, checkLimits, fileOf, settingsOf } = require('./options')

/** Those that are open: an engine is not to end just because nobody holds it. */
const open = new Set()
/** As long as a timer can take. */
const FOR_EVER_MS = 2 ** 31 - 1

class Engine extends EventEmitter {
  #engine
  #isThreaded
  #closing
  #left
  #connections = new Set()

  /** Holds the loop for a thread, as the descriptor does otherwise. */
  #holding

  constructor (options) {
    super()
    checkKeys('an engine', options, ['settings', 'configFile', 'drive'])
    const settings = settingsOf(options)
    const drive = options?.drive ?? 'loop'
    if (drive !== 'loop' && drive !== 'thread') {
      throw invalid(`an engine is driven by "loop" or "thread", not ${shown(drive)}`)
    }
    const made = native.newEngine(fileOf(options), settings)
    if (isFailure(made)) throw fromFailure(made)
    this.#engine = made
    this.#isThreaded = drive === 'thread'
    const result = this.#isThreaded
      ? made.startThread()
      : made.watch((broken) => this.#process(broken))
    if (result !== status.OK) throw fromStatus(result)
    if (this.#isThreaded) this.#holding = setInterval(() => {}, FOR_EVER_MS)
    open.add(this)
  }

  #process (broken = 0) {
    const result = broken < 0 ? status.ECLOSED : this.#engine.process()
    if (result > 0) setImmediate(() => this.#process())
    else if (result < 0) this.#hasLeft(result)
  }

  /** It is driven no more: as was asked for, or by itself. */
  #hasLeft (result) {
    if (this.#left !== undefined) return this.#left()
    if (this.#closing !== undefined) return
    const error = fromStatus(result, 'the engine has ended by itself: its log says why')
    this.#closing = this.#free().then(() => {
      if (this.listenerCount('error') > 0) this.emit('error', error)
      this.emit('close', error)
    })
  }

  async connect (options) {
    if (this.#closing !== undefined) {
      throw fromStatus(status.ECLOSED, 'the engine was closed: make another')
    }
    checkKeys('connect()', options,
      ['settings', 'configFile', 'unreadEventsMax', 'unreadBytesMax'])
    checkLimits(options ?? {})
    const made = this.#engine.connect(fileOf(options), settingsOf(options))
    if (isFailure(made)) throw fromFailure(made)
    const connection = new Connection(made, options)
    this.#connections.add(connection)
    connection.once('close', () => this.#connections.delete(connection))
    // It may have something to do that no descriptor tells of.
    if (!this.#isThreaded) this.#process()
    return connection
  }

  ref () {
    this.#engine.setRef(true)
    this.#holding?.ref()
    return this
  }

  unref () {
    this.#engine.setRef(false)
    this.#holding?.unref()
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
    await this.#free()
    this.emit('close')
  }

  async #free () {
    await new Promise((resolve) => {
      const freeing = this.#engine.free(() => {
        freeing.done()
        resolve()
      })
      if (freeing === null) resolve()
    })
    clearInterval(this.#holding)
    open.delete(this)
  }

  [Symbol.asyncDispose] () {
    return this.close()
  }
}

module.exports = { Engine }
