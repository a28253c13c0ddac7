//! What a transport counts.

/// Makes the struct and the list of its fields from one table, so that no counter can be missing
/// where they are shown.
macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What a transport has counted since it was opened; counts only grow, the `_len` values
        /// are in bytes.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct TransportCounters {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl TransportCounters {
            /// Every counter with its name, in a fixed order.
            pub fn fields(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
                [$((stringify!($name), self.$name),)*].into_iter()
            }
        }
    };
}

counters! {
    /// Datagrams given to the network.
    sent_datagrams,
    /// Their bytes.
    sent_bytes,
    /// System calls that sent something.
    sent_calls,
    /// Runs of equal-sized datagrams that went out as one (UDP_SEGMENT).
    sent_runs,
    /// Datagrams that had to wait for room in the send buffer.
    send_waited,
    /// Datagrams that could not be sent: no route, a full queue, a firewall, no multicast.
    send_lost,
    /// Addresses to which runs cannot be sent as one; each datagram is sent by itself there.
    runs_refused,
    /// Probes of size that the path is known not to take; see `Target::Probe`.
    probes_refused,
    /// Datagrams that arrived, own multicast copies not among them.
    received_datagrams,
    /// Their bytes.
    received_bytes,
    /// System calls that received something.
    received_calls,
    /// Arrivals that the kernel dropped because a receive buffer was full; one may be a run of
    /// several datagrams. Grows when the next datagram gets through.
    receive_lost,
    /// Copies of own multicasts, dropped.
    own_copies,
    /// Answers from hosts where nobody listens at the port (ICMP port unreachable).
    port_unreachable,
    /// Other errors that the network reported (ICMP), or that receiving met.
    network_errors,
    /// Engines to which there is a liveness connection now.
    liveness_held,
    /// Callers that were not let in, since there were too many.
    liveness_refused,
    /// Engines that have ended, as their liveness connections prove.
    liveness_ended,
    /// Receive buffer of each socket as the kernel gave it.
    receive_buffer_len,
    /// Receive buffer as configured; when it is larger than the one given, expect losses in bursts.
    receive_buffer_len_wanted,
    /// Send buffer as the kernel gave it.
    send_buffer_len,
    /// Send buffer as configured.
    send_buffer_len_wanted,
    /// Datagrams lost on purpose, by the fault wrapper.
    faults_dropped,
}

#[cfg(test)]
mod tests {
    use super::TransportCounters;

    #[test]
    fn every_field_is_listed_under_its_name() {
        let counters =
            TransportCounters { sent_datagrams: 1, faults_dropped: 2, ..Default::default() };
        let fields: Vec<_> = counters.fields().collect();
        assert_eq!(fields.first(), Some(&("sent_datagrams", 1)));
        assert_eq!(fields.last(), Some(&("faults_dropped", 2)));
        assert_eq!(fields.len() * size_of::<u64>(), size_of::<TransportCounters>());
    }
}
