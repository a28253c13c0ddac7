// A whole engine, and sessions, in a Qt event loop. The notifiers are their parents' to delete, or
// the caller's.
#ifndef ANASAZI_ADAPTERS_QT_HPP
#define ANASAZI_ADAPTERS_QT_HPP
#include <QObject>
#include <QSocketNotifier>
#include <anasazi.h>
#include <functional>
#include <utility>

namespace anasazi::adapters {
inline QSocketNotifier *qt_watch(int fd, std::function<bool()> work, QObject *parent)
{
    auto *notifier = new QSocketNotifier(fd, QSocketNotifier::Read, parent);
    // What is not done yet leaves the descriptor readable.
    QObject::connect(notifier, &QSocketNotifier::activated, notifier,
                     [notifier, work = std::move(work)] {
                         if (!work())
                             notifier->setEnabled(false);
                     });
    return notifier;
}

// The loop drives the engine until that was stopped.
inline QSocketNotifier *qt_attach(anz_engine_t *engine, QObject *parent)
{
    return qt_watch(
        anz_engine_fd(engine), [engine] { return anz_engine_process(engine, 0) >= 0; }, parent);
}

// `ready` is called when there is something to receive, and calls anz_recv() until that gives 0; no
// more once it has returned false.
inline QSocketNotifier *qt_attach(anz_conn_t *conn, std::function<bool(anz_conn_t *)> ready,
                                  QObject *parent)
{
    return qt_watch(
        anz_conn_fd(conn), [conn, ready = std::move(ready)] { return ready(conn); }, parent);
}
} // namespace anasazi::adapters
#endif
