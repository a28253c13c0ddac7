// A whole engine, and sessions, in an asio io_context: Boost.Asio where ANASAZI_BOOST_ASIO is
// defined before, else standalone asio. A watch waits until it is destroyed, or until what it
// watches has ended; it does not own it.
#ifndef ANASAZI_ADAPTERS_ASIO_HPP
#define ANASAZI_ADAPTERS_ASIO_HPP
#include <anasazi.h>
#include <functional>
#include <utility>
#ifdef ANASAZI_BOOST_ASIO
#include <boost/asio.hpp>
#else
#include <asio.hpp>
#endif

namespace anasazi::adapters {
#ifdef ANASAZI_BOOST_ASIO
namespace net = boost::asio;
using error_code = boost::system::error_code;
#else
namespace net = ::asio;
using error_code = std::error_code;
#endif

class asio_watch {
public:
    // The io_context drives the engine until that was stopped.
    asio_watch(net::io_context &io, anz_engine_t *engine)
        : asio_watch(io, anz_engine_fd(engine), [engine] {
              int more;
              // The reactor is edge-triggered: all of it, and then wait.
              while ((more = anz_engine_process(engine, 0)) > 0) {
              }
              return more == 0;
          })
    {
    }

    // `ready` is called when there is something to receive, and calls anz_recv() until that gives
    // 0; no more once it has returned false.
    asio_watch(net::io_context &io, anz_conn_t *conn, std::function<bool(anz_conn_t *)> ready)
        : asio_watch(io, anz_conn_fd(conn),
                     [conn, ready = std::move(ready)] { return ready(conn); })
    {
    }

    asio_watch(const asio_watch &) = delete;
    asio_watch &operator=(const asio_watch &) = delete;

    ~asio_watch()
    {
        // The descriptor is the library's to close.
        if (descriptor_.is_open())
            descriptor_.release();
    }

private:
    asio_watch(net::io_context &io, int fd, std::function<bool()> work)
        : descriptor_(io, fd), work_(std::move(work))
    {
        wait();
    }

    void wait()
    {
        descriptor_.async_wait(net::posix::descriptor_base::wait_read, [this](error_code error) {
            if (!error && work_())
                wait();
        });
    }

    net::posix::stream_descriptor descriptor_;
    std::function<bool()> work_;
};
} // namespace anasazi::adapters
#endif
