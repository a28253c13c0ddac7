// A member in a Qt event loop.
#include "member.h"
#include <QCoreApplication>
#include <anasazi/adapters/qt.hpp>

int main(int argc, char **argv)
{
    int none = 1;
    QCoreApplication application(none, argv);
    begin(argc, argv);
    anasazi::adapters::qt_attach(engine, &application);
    anasazi::adapters::qt_attach(
        conn,
        [](anz_conn_t *c) {
            bool over = receive(c, nullptr) != 0;
            if (over)
                QCoreApplication::quit();
            return !over;
        },
        &application);
    QCoreApplication::exec();
    return end();
}
