// A member in an asio io_context.
#include "member.h"
#include <anasazi/adapters/asio.hpp>

int main(int argc, char **argv)
{
    begin(argc, argv);
    {
        anasazi::adapters::net::io_context io;
        anasazi::adapters::asio_watch of_engine(io, engine);
        anasazi::adapters::asio_watch of_conn(
            io, conn, [](anz_conn_t *c) { return receive(c, nullptr) == 0; });
        io.run();
    }
    return end();
}
