/* The protocol of places, leases and fences, for one instance: build, reschedule and delete, as
 * core/tenter/operations/{build,delete,requests,runner}.py and core/tenter/store/{operations,instances,claims}.py do it.
 *
 * Actors: two conductors, two hosts with a compute each (of two threads) and a user who may delete. Each process may be
 * killed before any statement, a living one may be slower than its lease, a guest may fail to start, the deadline of the
 * build may pass. Time is not counted: a worker may be slow without bound between any two statements.
 * An atomic{} that touches rows is one database transaction. What the hypervisor does is a step of its own.
 *
 * Left out: a host that is away and a destroy that fails (leave.pml), cells that are away (carry.pml), other kinds of
 * operations; seq is taken to order a build before its delete.
 *
 *   -DCELLS=1   both hosts in one cell: a build that fails on one host is moved to the other
 *   -DCELLS=2   a host in each: two conductors may put the same instance into different cells
 *   -DCRASHES=n how many of the four processes die, once each    -DSTALLS=n   how often a living one loses its lease
 *   -DDELETES=n how often the user asks for the delete
 *   -DUPDATES=n how often the user changes the server while it is being scheduled, or just afterwards
 *   -DM_…       takes one guard away; tools/model-check shows that each is needed
 */

#ifndef CELLS
#define CELLS 1
#endif
#ifndef STALLS
#define STALLS 1
#endif
#ifndef CRASHES
#define CRASHES 4
#endif
#ifndef DELETES
#define DELETES 1
#endif
#ifndef UPDATES
#define UPDATES 0
#endif

#if CELLS == 1
#define cell_of(h) 0
#else
#define cell_of(h) (h)
#endif

#include "store.pml"

/* -------------------------------------------------------------------------------------------------------- conductors */

inline alive() {                /* before each statement it may be killed; another is started in its stead */
    if
    :: crashes && conductors_left -> crashes--; conductors_left--; goto out
    :: true
    fi
}

#define my_turn (me == 1 || held[1])

proctype conductor(byte me) {
    byte i, c, h, mine, known;
    bit won, behind, cancelled;

end_idle:
    atomic {                                            /* conductors are alike: the second works if the first does */
        if
        :: my_turn && free(0) && conducted(0) -> i = 0
        :: my_turn && free(1) && conducted(1) -> i = 1
        :: my_turn && free(2) && conducted(2) -> i = 2
#if CELLS == 2
        :: my_turn && free(3) && conducted(3) -> i = 3
        :: my_turn && free(4) && conducted(4) -> i = 4
#endif
        fi;
        take(i);
        c = (i == 0 -> 0 : (i - 1) % CELLS);
        if
        :: cancelled -> goto cancel_it
        :: !cancelled && late && op[i].step == SCHEDULE -> goto schedule_error
        :: !cancelled && late && op[i].step == CONFIRM -> goto confirm_error
        :: !cancelled && late && op[i].step == RESCHEDULE -> goto give_up
        :: !cancelled && !late && op[i].step == SCHEDULE -> goto schedule
        :: !cancelled && !late && op[i].step == CONFIRM -> goto confirm
        :: !cancelled && !late && op[i].step == RESCHEDULE -> goto reschedule
        :: !cancelled && op[i].step == FINISH -> goto finish
        fi
    }

schedule:       /* build.schedule */
    atomic {
        alive();
        if
        :: place != UNSCHEDULED -> goto forget
        :: place == UNSCHEDULED
        fi;
        known = record;
        if :: mine == 1 -> goto insert :: else fi
    }
    atomic {    /* instances.exists, cell by cell */
        alive(); if :: row[0].there -> goto forget :: !row[0].there fi
    }
#if CELLS == 2
    atomic {
        alive(); if :: row[1].there -> goto forget :: !row[1].there fi
    }
#endif
insert:         /* instances.insert_placed */
    atomic {
        alive();
        if
        :: h = 0
        :: mine > 1 -> h = 1                            /* the hosts are alike: the first attempt takes 0 */
        :: goto schedule_error                          /* no valid host */
        fi;
        c = cell_of(h);
#ifdef M_PLACE_FIRST
        won = 0; swap(c);
        if :: !won -> goto forget :: else fi
    }
    atomic {
        alive();
        row[c].there = 1; row[c].host = h; row[c].by = BY_BUILD; claim[h]++;
        op[BUILD(c)].attempt = 1; queue(BUILD(c), SPAWN, h);
        goto forget
    }
#else
#ifndef M_NO_UNIQUE
        if :: row[c].there || op[BUILD(c)].state != ABSENT -> goto forget :: else fi;
#endif
        claim[h]++;
        row[c].there = 1; row[c].host = h; row[c].by = BY_BUILD; shown[c] = known;
        op[BUILD(c)].state = RUNNING; op[BUILD(c)].step = CONFIRM; op[BUILD(c)].owner = me;
        op[BUILD(c)].attempt = 1; op[BUILD(c)].host = h
    }
#endif
    atomic {    /* build._take_place, apply */
        alive();
        if
        :: !holds(API) -> goto out
        :: holds(API)
        fi;
        swap(c);
        delete_row(API);
        i = BUILD(c); mine = 1;
        if :: behind -> goto catch_up :: else fi
    }
then:
    atomic {    /* build._take_place, then */
        alive();
        if
        :: !holds(i) -> goto out
        :: holds(i) && op[i].cancel -> goto cancel_it
        :: holds(i) && !op[i].cancel && won -> task_of_build(c); queue(i, SPAWN, h)
        :: holds(i) && !op[i].cancel && !won -> withdraw(c)
        fi;
        goto out
    }

forget:         /* build._forget: the row in the API database has had its day */
    atomic {
        alive(); if :: holds(API) -> delete_row(API) :: else fi;
        goto out
    }

schedule_error: /* Build._unplaced */
    atomic {
        alive(); if :: holds(API) -> lose_place(); end_row(API, FAILED) :: else fi;
        goto out
    }

catch_up:       /* build._catch_up: what the user changed goes into the cell before the place is taken */
    atomic {
        alive();
#ifndef M_NO_FENCE_CATCH_UP
        if
        :: !holds(i) -> goto out
        :: holds(i) && op[i].cancel -> goto cancel_it
        :: holds(i) && !op[i].cancel
        fi;
#endif
        shown[c] = known
    }
    atomic {
        alive(); swap(c);
        if :: behind -> goto catch_up :: !behind && mine == 1 -> goto then :: !behind && mine > 1 -> goto look fi
    }

confirm:        /* build.confirm: what a conductor that died left between the cell and the place */
#if UPDATES
    atomic {
        alive(); known = shown[c]
    }
#endif
    atomic {
        alive(); swap(c); if :: behind -> goto catch_up :: else fi
    }
look:
    atomic {    /* build._in_cell */
        alive(); if :: place == PLACED + c -> won = 1 :: place != PLACED + c fi
    }
    atomic {
        alive();
        if
        :: !holds(i) -> goto out
        :: holds(i) && op[i].cancel -> goto cancel_it
        :: holds(i) && !op[i].cancel && won -> task_of_build(c); queue(i, SPAWN, op[i].host)
        :: holds(i) && !op[i].cancel && !won -> withdraw(c)
        fi;
        goto out
    }

confirm_error:  /* Build.on_error and _unconfirmed */
#ifdef M_LOOK_BEFORE_LOSE
    atomic {
        alive(); if :: place == PLACED + c -> won = 1 :: place != PLACED + c fi
    }
    atomic {
        alive(); if :: won :: !won -> lose_place() fi
    }
#else
    atomic {
        alive(); lose_place()
    }
    atomic {
        alive(); if :: place == PLACED + c -> won = 1 :: place != PLACED + c fi
    }
#endif
    atomic {
        alive();
        if
        :: !holds(i) -> goto out
        :: holds(i) && op[i].cancel -> goto cancel_it
        :: holds(i) && !op[i].cancel && won -> end_in_error(c)
        :: holds(i) && !op[i].cancel && !won -> withdraw(c)
        fi;
        goto out
    }

reschedule:     /* build.reschedule */
    atomic {
        alive();
        if
        :: cell_of(0) == c && !failed[0] -> h = 0
        :: cell_of(1) == c && !failed[1] -> h = 1
        :: goto give_up                        /* no other host has room */
        fi
    }
    atomic {
        alive();
        if
        :: !holds(i) -> goto out
        :: holds(i) && op[i].cancel -> goto cancel_it
        :: holds(i) && !op[i].cancel
        fi;
#ifndef M_NO_GIVE_BACK_MOVE
        give_back(c);
#endif
        claim[h]++;
        row[c].host = h; task_of_build(c)
    }
    atomic {
        alive();
        if
        :: !holds(i) -> goto out
        :: holds(i) && op[i].cancel -> goto cancel_it
        :: holds(i) && !op[i].cancel -> queue(i, SPAWN, h)
        fi;
        goto out
    }

give_up:        /* Build.on_error */
    atomic {
        alive();
        if
        :: !holds(i) -> goto out
        :: holds(i) && op[i].cancel -> goto cancel_it
        :: holds(i) && !op[i].cancel -> end_in_error(c)
        fi;
        goto out
    }

finish:         /* delete.finish */
#ifdef M_ROWS_FIRST
    atomic {
        alive(); if :: !holds(i) -> goto out :: holds(i) -> remove(c); end_row(i, DONE) fi
    }
    atomic {
        alive(); place = GONE;
        goto out
    }
#else
    atomic {
        alive(); place = GONE
    }
    atomic {
        alive(); if :: holds(i) -> remove(c); end_row(i, DONE) :: else fi;
        goto out
    }
#endif

cancel_it:      /* operations.finish_cancelled, in a transaction of its own */
    atomic {
        alive(); if :: op[i].state == RUNNING && op[i].attempt == mine -> end_row(i, CANCELLED) :: else fi
    }
out:
    atomic { held[me] = 0; mine = 0; cancelled = 0; i = 0; c = 0; h = 0; won = 0; known = 0; behind = 0; goto end_idle }
}

/* ---------------------------------------------------------------------------------------------------------- computes */

/* Runner._offer: a process does not take what another of its threads still works on, even if the lease ran out. */
#ifdef M_NO_HELD
#define busy_with(i) false
#else
#define busy_with(i) (held[me] & (1 << (i)))
#endif
#define mine_to_do(i) (free(i) && !conducted(i) && op[i].host == h && !busy_with(i))

#define dead (died[h] != life)
inline alive_on_host() {        /* killed with its process: the thread that is, or the other one, comes to its end here */
    if
    :: dead -> goto out
    :: !dead && !died[h] && crashes -> die(); goto out
    :: !dead
    fi
}

inline die() {
    crashes--; died[h] = 1; held[me] = 0;
    if
    :: true                                             /* the leases run out, or are freed: operations.release_of_host */
    :: true ->
        if :: op[BUILD(c)].owner == me -> op[BUILD(c)].owner = NOBODY :: else fi;
        if :: op[DELETE(c)].owner == me -> op[DELETE(c)].owner = NOBODY :: else fi
    fi
}

proctype compute(byte h; bit second) {                  /* one thread of the host's compute */
    byte me = compute_of(h), c = cell_of(h), i, mine;
    bit life, cancelled, bad;

end_idle:
    atomic {
        if
        :: (!second || held[me]) && mine_to_do(BUILD(c)) -> i = BUILD(c)
        :: (!second || held[me]) && mine_to_do(DELETE(c)) -> i = DELETE(c)
        fi;
        take(i);
        life = died[h];
        if
        :: op[i].step == DESTROY -> goto destroy
        :: op[i].step == SPAWN && cancelled -> goto cancel_it
        :: op[i].step == SPAWN && !cancelled && late -> goto clean_up       /* Build.abandon */
        :: op[i].step == SPAWN && !cancelled && !late
        fi
    }
    atomic {    /* build.spawn: reads the row */
        alive_on_host();
        if
        :: row[c].by != BY_BUILD -> goto cancel_it
        :: row[c].by == BY_BUILD
        fi
    }
    atomic {    /* VirtDriver.spawn */
        alive_on_host();
        guest[h] = 1;
        assert(!guest[1 - h]);                          /* never two guests of one instance */
        if :: goto spawned :: goto clean_up :: bad = 1; goto clean_up fi
    }
spawned:
    atomic {
        alive_on_host();
        if
        :: !holds(i) -> goto out
        :: holds(i) && op[i].cancel -> goto cancel_it
        :: holds(i) && !op[i].cancel
        fi;
        if :: row[c].by == BY_BUILD -> row[c].vm = ACTIVE; row[c].by = BY_NONE :: else fi;
        end_row(i, DONE);
        goto out
    }

clean_up:       /* Guests.spawn, when it raises */
    atomic {
        alive_on_host();
#ifndef M_NO_CLEAN_UP
        guest[h] = 0
#endif
    }
    atomic {    /* Build.on_error: another host, unless none can mend it (bad) */
        alive_on_host();
        if
        :: !holds(i) -> goto out
        :: holds(i) && op[i].cancel -> goto cancel_it
        :: holds(i) && !op[i].cancel && bad -> end_in_error(c)
        :: holds(i) && !op[i].cancel && !bad -> failed[h] = 1; queue(i, RESCHEDULE, NOHOST)
        fi;
        goto out
    }

destroy:        /* delete.destroy */
    atomic {
        alive_on_host(); guest[h] = 0
    }
    atomic {
        alive_on_host(); if :: holds(i) -> queue(i, FINISH, NOHOST) :: else fi;
        goto out
    }

cancel_it:
    atomic {
        alive_on_host(); if :: op[i].state == RUNNING && op[i].attempt == mine -> end_row(i, CANCELLED) :: else fi
    }
out:
    atomic {
        if :: !dead -> held[me] = held[me] & (255 - (1 << i)) :: dead fi;
        mine = 0; cancelled = 0; life = 0; i = 0; bad = 0;
        goto end_idle
    }
}

/* ---------------------------------------------------------------------------------- the API: requests.Requests.delete */

proctype deleter() {
    byte asks = DELETES, c, h;

again:
    atomic {
        c = 0; h = 0;
        if :: asks == 0 -> goto through :: asks > 0 -> asks-- fi;
        if
        :: place == GONE -> goto through                /* 404 */
        :: place >= PLACED -> goto placed
        :: place == UNSCHEDULED || place == LOST
        fi
    }
    atomic {    /* Requests._delete_unplaced */
#ifdef M_DELETE_ANY_PLACE
        if
        :: place != GONE
#else
        if
        :: place == UNSCHEDULED || place == LOST
#endif
            -> place = GONE; accepted = 1;
            if :: open(API) && op[API].owner == NOBODY -> end_row(API, CANCELLED) :: else fi;
            goto again
        :: else
        fi
    }
placed:
    atomic {    /* Cells.of */
        if :: place == GONE -> goto through :: else fi;
        assert(place >= PLACED);
        c = place - PLACED;
        h = row[c].host
    }
    atomic {    /* one transaction in the cell */
        accepted = 1;
        if
        :: !row[c].there || row[c].deleting -> goto again   /* 204: it is going already */
        :: row[c].there && !row[c].deleting
        fi;
#ifndef M_STALE_HOST
        h = row[c].host;
#endif
        row[c].deleting = 1; row[c].by = BY_DELETE;
#ifndef M_NO_CANCEL
        if
        :: open(BUILD(c)) && op[BUILD(c)].owner == NOBODY -> end_row(BUILD(c), CANCELLED)
        :: open(BUILD(c)) && op[BUILD(c)].owner != NOBODY -> op[BUILD(c)].cancel = 1
        :: !open(BUILD(c))
        fi;
#endif
        if
        :: h == NOHOST -> queue(DELETE(c), FINISH, NOHOST)
        :: h != NOHOST -> queue(DELETE(c), DESTROY, h)
        fi;
        goto again
    }
through:
    asks = 0
}

/* ---------------------------------------------------------------------------------- the API: requests.Requests.update */

proctype updater() {
    byte asks = UPDATES, c;

again:
    atomic {
        c = 0;
        if :: asks == 0 || place == GONE -> goto through :: else fi;
        if :: place >= PLACED -> c = place - PLACED; goto in_cell :: else fi
    }
    atomic {    /* one transaction in the API database */
        if :: place == UNSCHEDULED || place == LOST -> latest++; record = latest; asks-- :: else fi;
        goto again
    }
in_cell:
    atomic {    /* one transaction in the cell */
        if :: row[c].there -> latest++; shown[c] = latest :: else fi;
        asks--;
        goto again
    }
through:
    asks = 0
}

/* ------------------------------------------------------------------------------------- what must be true in the end */

#define lives(c) (row[c].there && row[c].vm == ACTIVE)
#define runs_on(h) (lives(cell_of(h)) && row[cell_of(h)].host == (h))

proctype monitor() {
    timeout -> d_step {         /* nothing can happen any more */
        assert(!open(API) && !open(BUILD(0)) && !open(DELETE(0)));          /* every operation has ended */
        assert(!open(BUILD(CELLS - 1)) && !open(DELETE(CELLS - 1)));
        assert(!accepted || place == GONE);                                 /* an accepted delete was carried out */
        assert(place != UNSCHEDULED);
        assert(row[0].there == (place == PLACED));                          /* place and instance name each other */
        assert(CELLS == 1 || row[CELLS - 1].there == (place == PLACED + 1));
        assert(guest[0] == runs_on(0) && guest[1] == runs_on(1));           /* a guest where one should run, no other */
        assert(claim[0] == runs_on(0) && claim[1] == runs_on(1));           /* claims of what lives, no other */
        assert(place < PLACED || row[place - PLACED].vm != BUILDING);
        assert(place < PLACED || shown[place - PLACED] == latest);          /* what the user changed last is shown */
        assert(place != LOST || record == latest)
    }
}

init {
    atomic {
        queue(API, SCHEDULE, NOHOST);                   /* Requests.create */
        run conductor(1); run conductor(2);
        run compute(0, 0); run compute(0, 1); run compute(1, 0); run compute(1, 1);
#if UPDATES
        run updater();
#endif
        run deleter(); run monitor()
    }
}
