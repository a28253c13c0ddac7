'use strict'
// What is done when a signal aborts. There is one listener for each signal: those of an EventTarget
// are a list that is searched whenever one comes or goes, and a program may well have one signal
// for all that it awaits.

const { invalid, shown } = require('./failure')

/** By signal: what is to be called. */
const calls = new WeakMap()

function checkSignal (signal) {
  if (signal === undefined) return
  // Of any realm.
  const isSignal = typeof signal?.aborted === 'boolean' && 'reason' in signal &&
    typeof signal.addEventListener === 'function' && typeof signal.throwIfAborted === 'function'
  if (!isSignal) throw invalid(`signal is an AbortSignal, not ${shown(signal)}`)
}

/** Calls it once if the signal aborts; gives a function that has it called no more. What the call
 * gives is called, once, when all have been told: what then goes on is not for those to be told. */
function onAbort (signal, call) {
  let all = calls.get(signal)
  if (all === undefined) {
    all = new Set()
    all.tell = () => {
      calls.delete(signal)
      const afterwards = new Set()
      for (const each of all) afterwards.add(each())
      all.clear()
      for (const after of afterwards) after?.()
    }
    calls.set(signal, all)
    signal.addEventListener('abort', all.tell, { once: true })
  }
  all.add(call)
  return () => {
    if (!all.delete(call) || all.size > 0 || calls.get(signal) !== all) return
    calls.delete(signal)
    signal.removeEventListener('abort', all.tell)
  }
}

/** As the promise, but not after the signal. */
function withSignal (promise, signal, abandon) {
  if (signal === undefined) return promise
  return new Promise((resolve, reject) => {
    const stop = onAbort(signal, () => {
      abandon()
      reject(signal.reason)
    })
    promise.then(resolve, reject).finally(stop)
  })
}

module.exports = { checkSignal, onAbort, withSignal }
