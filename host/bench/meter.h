/* meter.h — a machine that stands before another and measures it: every operation that a session asks for is
 * waited for, timed, and counted in operations and bytes.  So no code that works for users has a clock in it.
 */
#ifndef T2D_METER_H
#define T2D_METER_H

#include "bench/bench.h"

/* The session's machine is the meter until it is closed; nothing is recorded or replayed in that time. */
typedef struct t2d_meter t2d_meter;
t2d_status t2d_meter_open(t2d_session *session, t2d_stages *stages, t2d_meter **meter, t2d_error *err);
/* A turn has taken so long: its operations become a sample of each row, and what is between them a row. */
t2d_status t2d_meter_turn(t2d_meter *meter, double seconds, t2d_error *err);
void t2d_meter_close(t2d_meter *meter); /* or NULL */

#endif
