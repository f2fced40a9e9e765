/* What an instance leaves on a host that it is taken off: core/tenter/compute/reaper.py, the guard in
 * core/tenter/operations/runner.py, and the steps "lost" and "abandon" of build.py and delete.py.
 *
 * Actors: a compute process of host A with two threads and a reaper; a conductor's watch that may take any step off A,
 * whether A is really away or only slow; a conductor; a user who may delete at any moment. The build that fails on A,
 * or is taken off it, goes on to host B, of which all that matters is done in single steps. The compute of A may be
 * killed between any two statements, with all its threads; a guest may fail to be removed.
 * An atomic{} that touches rows is one transaction. What the hypervisor does is a step of its own.
 *
 *   -DCRASHES=n how often the compute dies    -DDOWNS=n  how often A seems to be away
 *   -DFAILS=n   how many removals fail        -DM_…      as in place.pml
 */

#ifndef CRASHES
#define CRASHES 1
#endif
#ifndef DOWNS
#define DOWNS 2
#endif
#ifndef FAILS
#define FAILS 1
#endif

#define A 0
#define B 1
#define NOHOST 2

#define ABSENT 0                /* state of an operation */
#define QUEUED 1
#define RUNNING 2
#define ENDED 3

#define SPAWN 0                 /* step; up to DESTROY they are of role compute */
#define DESTROY 1
#define LOST 2
#define RESCHEDULE 3
#define ABANDON 4
#define FINISH 5

#define BUILD 0
#define DELETE 1

#define BY_NONE 0               /* Instance.operation_uuid */
#define BY_BUILD 1
#define BY_DELETE 2

#define NOBODY 0                /* owner: 1 and 2 are the lives of A's process */

typedef Operation { byte state; byte step; byte owner; byte attempt; byte host; bit cancel };
Operation op[2];

bit place = 1;
bit there = 1;                  /* the instance's row: where it is, who has it, whether it is active */
byte at = A;
byte by = BY_BUILD;
bit lives;
bit left;                       /* a leftover on A names the instance */
bit guest[2];                   /* the real world */

byte life;                      /* of A's process, and what it has in memory: */
bit works;                      /*   Runner._subjects: a thread has registered a step of the instance */
bit locked;                     /*   Reaper._lock */
byte crashes = CRASHES;
byte downs = DOWNS;
byte fails = FAILS;
bit accepted;

#define open(i) (op[i].state == QUEUED || op[i].state == RUNNING)
#define on_a(i) (open(i) && op[i].step <= DESTROY && op[i].host == A)
#define turn(i) (open(i) && ((i) == BUILD || !open(BUILD)))
#define free(i) (on_a(i) && turn(i) && (op[i].owner == NOBODY || op[i].owner != 1 + life))
#define holds(i) (op[i].state == RUNNING && op[i].owner == 1 + mine_life && op[i].attempt == mine)

inline queue(i, next, on) { op[i].state = QUEUED; op[i].step = next; op[i].host = on; op[i].owner = NOBODY }
inline end_row(i) { op[i].state = ENDED; op[i].owner = NOBODY }
inline leave() { if :: there && at == A -> left = 1; at = NOHOST :: else fi }      /* leftovers.leave */
inline remove() { there = 0; at = NOHOST; by = BY_NONE; lives = 0 }
inline cancel_build() {
    if
    :: open(BUILD) && op[BUILD].owner == NOBODY -> end_row(BUILD)
    :: open(BUILD) && op[BUILD].owner != NOBODY -> op[BUILD].cancel = 1
    :: !open(BUILD)
    fi
}

/* ----------------------------------------------------------------------------------------------------- the compute */

#define dead (mine_life != life)
inline alive() {
    if
    :: dead -> goto out
    :: !dead && crashes -> crashes--; life++; works = 0; locked = 0; goto out
    :: !dead
    fi
}

inline remove_guest() {         /* Guests.remove, destroy */
    bad = 0;
    if :: guest[A] = 0 :: fails -> fails--; bad = 1 fi
}

proctype thread() {
    byte i, mine, mine_life;
    bit reaped, bad, began;

end_idle:
    atomic {                                            /* operations.claim */
        if
        :: free(BUILD) -> i = BUILD
        :: free(DELETE) -> i = DELETE
        fi;
        op[i].state = RUNNING; op[i].owner = 1 + life; op[i].attempt++; mine = op[i].attempt; mine_life = life
    }
    atomic {                                            /* Runner._try: what it works on is known from here */
        alive();
#ifndef M_NO_BUSY
        if
        :: works ->                                     /* _postpone; counted back so that all stays finite */
            if :: holds(i) -> op[i].attempt--; queue(i, op[i].step, A) :: else fi;
            goto out
        :: !works
        fi;
#endif
        works = 1; began = 1;
        if :: op[i].cancel -> goto cancelled :: else fi
    }
    atomic {                                            /* Guard.begin: a look without the lock */
        alive(); if :: !left -> goto fence :: left fi
    }
    atomic {
        !locked || dead;
        alive(); locked = 1
    }
    atomic {
        alive(); if :: !left -> locked = 0; goto fence :: left fi
    }
#ifdef M_REAPED_FIRST
    atomic { alive(); left = 0 }
#endif
    atomic {
        alive(); remove_guest();
        if :: bad -> locked = 0; goto failed :: else fi
    }
    atomic {
        alive();
        left = 0; locked = 0; reaped = 1
    }
fence:
#ifndef M_NO_FENCE_AT_BEGIN
    atomic {
        alive();
        if
#ifdef M_FENCE_IF_REAPED
        :: !reaped
#endif
        :: !holds(i) -> goto stale
        :: holds(i) && op[i].cancel -> goto cancelled
        :: holds(i) && !op[i].cancel
        fi
    }
#endif
    atomic {
        alive();
        if
        :: i == DELETE -> goto destroy
        :: i == BUILD && by != BY_BUILD -> goto cancelled
        :: i == BUILD && by == BY_BUILD
        fi
    }
    atomic {                                            /* VirtDriver.spawn */
        alive(); guest[A] = 1;
        if :: true :: bad = 1 fi
    }
    if :: bad -> goto clean_up :: else fi;
    atomic {
        alive();
        if
        :: !holds(i) -> goto stale
        :: holds(i) && op[i].cancel -> goto cancelled
        :: holds(i) && !op[i].cancel
        fi;
        lives = 1; by = BY_NONE; end_row(i);
        goto out
    }

clean_up:                                               /* Guests.spawn, when it raises */
    atomic { alive(); remove_guest() }
failed:         /* Build.on_error, with what could not be removed; Delete.on_error */
    atomic {
        alive();
        if
        :: !holds(i) -> goto stale
        :: holds(i) && op[i].cancel -> goto cancelled
        :: holds(i) && !op[i].cancel && i == BUILD ->
#ifndef M_NO_LEFT_BEHIND
            if :: bad -> leave() :: else fi;
#endif
            queue(i, RESCHEDULE, NOHOST)
        :: holds(i) && !op[i].cancel && i == DELETE ->
            if :: queue(i, ABANDON, NOHOST) :: op[i].attempt--; queue(i, DESTROY, A) fi
        fi;
        goto out
    }

destroy:                                                /* delete.destroy */
    atomic {
        alive(); remove_guest();
        if :: bad -> goto failed :: else fi
    }
    atomic {
        alive(); if :: holds(i) -> queue(i, FINISH, NOHOST) :: else fi;
        goto out
    }

cancelled:                                              /* Runner._stale: Guard.disown, then finish_cancelled */
stale:
    atomic {
        alive(); if :: there && at == A -> goto disowned :: else fi
    }
    atomic {
        !locked || dead;
        alive(); locked = 1
    }
    atomic { alive(); remove_guest(); locked = 0 }
    atomic { alive(); if :: bad -> left = 1 :: else fi }                /* leftovers.note */
disowned:
    atomic {
        alive();
        if :: op[i].cancel && op[i].state == RUNNING && op[i].attempt == mine -> end_row(i) :: else fi
    }
out:
    atomic {
        if :: !dead && began -> works = 0 :: else fi;
        i = 0; mine = 0; mine_life = 0; reaped = 0; bad = 0; began = 0;
        goto end_idle
    }
}

proctype reaper() {
    byte mine_life;
    bit bad;

end_idle:
    atomic {                                            /* Reaper.reap: lists, then asks what is busy */
        left -> mine_life = life
    }
    atomic {
        alive();
#ifndef M_REAP_BUSY
        if :: works -> goto out :: !works fi
#endif
    }
    atomic {
        !locked || dead;
        alive(); locked = 1
    }
    atomic {
        alive(); if :: !left -> locked = 0; goto out :: left fi
    }
    atomic {
        alive(); remove_guest();
        if :: bad -> locked = 0; goto out :: else fi
    }
    atomic {
        alive(); left = 0; locked = 0
    }
out:
    atomic { mine_life = 0; bad = 0; goto end_idle }
}

/* ------------------------------------------------------------------------------------------------------- conductors */

proctype watch() {              /* Watch._take_off */
end_idle:
    do
    :: atomic { downs && on_a(BUILD) ->
            downs--; op[BUILD].attempt++;
            if :: op[BUILD].cancel -> end_row(BUILD) :: else -> queue(BUILD, LOST, A) fi }
    :: atomic { downs && on_a(DELETE) -> downs--; op[DELETE].attempt++; queue(DELETE, ABANDON, NOHOST) }
    od
}

proctype conductor() {
end_idle:
    do
    :: atomic { open(BUILD) && op[BUILD].step == LOST ->        /* build.lost */
#ifndef M_NO_LEFT_BEHIND
            leave();
#endif
            queue(BUILD, RESCHEDULE, NOHOST) }
    :: atomic { open(BUILD) && op[BUILD].step == RESCHEDULE -> at = B; queue(BUILD, SPAWN, B) }
    :: atomic { open(BUILD) && op[BUILD].step == RESCHEDULE ->  /* no other host has room */
            at = NOHOST; by = (by == BY_BUILD -> BY_NONE : by); end_row(BUILD) }
    :: atomic { open(DELETE) && turn(DELETE) && op[DELETE].step == ABANDON -> place = 0;
#ifndef M_ABANDON_ALL
            leave();
#endif
            remove(); end_row(DELETE) }
    :: atomic { open(DELETE) && turn(DELETE) && op[DELETE].step == FINISH -> place = 0; remove(); end_row(DELETE) }
    od
}

proctype host_b() {
end_idle:
    do
    :: atomic { open(BUILD) && op[BUILD].step == SPAWN && op[BUILD].host == B && by == BY_BUILD ->
            guest[B] = 1; lives = 1; by = BY_NONE; end_row(BUILD) }
    :: atomic { open(DELETE) && turn(DELETE) && op[DELETE].step == DESTROY && op[DELETE].host == B ->
            guest[B] = 0; queue(DELETE, FINISH, NOHOST) }
    od
}

proctype deleter() {            /* delete.enter */
    atomic {
        accepted = 1; by = BY_DELETE; cancel_build();
        if
        :: at == NOHOST -> queue(DELETE, FINISH, NOHOST)
        :: at != NOHOST -> queue(DELETE, DESTROY, at)
        :: at == A && downs -> downs--; queue(DELETE, ABANDON, NOHOST)
        fi
    }
}

/* -------------------------------------------------------------------------------------------- what must be true always */

#define named (!guest[A] || left || there && at == A)

proctype monitor() {
end_idle:
    atomic {
        !named -> assert(named)                         /* no guest that neither an instance nor a leftover names */
    }
}

proctype end() {
    timeout -> d_step {         /* nothing can happen any more */
        assert(!open(BUILD) && !open(DELETE));          /* every operation has ended */
        assert(!accepted || !place);                    /* an accepted delete was carried out */
        assert(there == place && !left);                /* what was left is removed */
        assert(guest[A] == (there && lives && at == A));        /* a guest where one should run, no other: A */
        assert(guest[B] == (there && lives && at == B))         /* a guest where one should run, no other: B */
    }
}

init {
    atomic {
        queue(BUILD, SPAWN, A);
        run thread(); run thread(); run reaper(); run watch(); run conductor(); run host_b();
        if :: run deleter() :: true fi;
        run monitor(); run end()
    }
}
