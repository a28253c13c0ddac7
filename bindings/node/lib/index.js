'use strict'
// What this package exports. ES modules see the names that the list at the end has as it stands.

const native = require('./native')
const { Connection, connect } = require('./connection')
const { Engine } = require('./engine')
const { invalid, shown } = require('./failure')
const { Address, Group, Peer } = require('./group')
const { Member } = require('./member')

/** "1.0.0" and, in brackets, the release. */
const libraryVersion = native.versionText()
const { version } = require('../package.json')

function hasFeature (feature) {
  if (typeof feature !== 'string') throw invalid(`a feature is text, not ${shown(feature)}`)
  return native.hasFeature(feature)
}

module.exports = {
  connect,
  hasFeature,
  version,
  libraryVersion,
  Connection,
  Engine,
  Address,
  Group,
  Peer,
  Member,
  ...require('./errors')
}
