/* Deletes that are accepted while their cell does not answer: core/tenter/operations/{requests,delete,runner}.py.
 *
 * Actors: two users who delete one placed instance at once, each through an API of his own; two conductors; the compute
 * of its host, where its build may still go on; the cell's database, which goes away and comes back at any moment. Each
 * conductor, an API and the compute may be killed once, a living worker may be slower than its lease.
 * An atomic{} that touches rows is one transaction. One that was sent to a cell which then does not answer may be made
 * later, at any moment, or never: nobody waits for it any more.
 *
 * Left out: everything before the place is taken, moves to other hosts, what is checked in place.pml; leftovers, which
 * are in leave.pml.
 *
 *   -DOUTAGES=n how often the cell goes away
 *   -DCRASHES=n, -DSTALLS=n, -DM_…  as in place.pml
 */

#ifndef OUTAGES
#define OUTAGES 1
#endif
#ifndef CRASHES
#define CRASHES 1
#endif
#ifndef STALLS
#define STALLS 0
#endif

#define ABSENT 0                /* state of an operation */
#define QUEUED 1
#define RUNNING 2
#define DONE 3
#define CANCELLED 4

#define CARRY 0                 /* step; SPAWN and DESTROY are of role compute */
#define FINISH 1
#define SPAWN 2
#define DESTROY 3

#define NOBODY 0                /* owner: 1 and 2 are conductors, 3 the compute */

#define WANTED(k) (k)           /* the delete k in the API database */
#define BUILD 2
#define DELETE(k) (3 + (k))     /* the delete k in the cell: under the uuid that it has in the API database */
#define OPERATIONS 5

typedef Operation { byte state; byte step; byte owner; byte attempt; bit cancel };
Operation op[OPERATIONS];

bit place = 1;                  /* places: in the cell, or gone */
bit wanted;                     /* places.delete_wanted */
bit there = 1;                  /* the row of the instance in the cell, which is active, and is being deleted */
bit lives;
bit deleting;

bit guest;                      /* the real world */
bit away;
byte outages = OUTAGES;
byte crashes = CRASHES;
byte stalls = STALLS;
bit died[4];                    /* by owner: each dies once */
byte held[4];                   /* Runner._held, a bit an operation */
bit late[2];                    /* a transaction that enters the delete k, and that nobody waits for */
bit accepted;                   /* a delete was answered with 204 */

#define open(i) (op[i].state == QUEUED || op[i].state == RUNNING)
#define in_cell(i) ((i) >= BUILD)
#define conducted(i) (op[i].step <= FINISH)
#define blocked(i) ((i) > BUILD && open(BUILD))
#define renewed(i) (held[op[i].owner] & (1 << (i)))
#define free(i) (open(i) && (op[i].owner == NOBODY || !renewed(i) || stalls) && !blocked(i) && !(in_cell(i) && away))
#define holds(i) (op[i].state == RUNNING && op[i].owner == me && op[i].attempt == mine)

inline end_row(i, how) { op[i].state = how; op[i].owner = NOBODY }

inline take(i) {                /* operations.claim */
    if :: op[i].owner != NOBODY && renewed(i) -> stalls-- :: else fi;
    op[i].state = RUNNING; op[i].owner = me; op[i].attempt++;
    mine = op[i].attempt; held[me] = held[me] | (1 << (i))
}

/* delete.enter, in one transaction of the cell */
#ifdef M_NO_BEGIN
#define may_begin true          /* instances.begin_delete */
#else
#define may_begin (!deleting)
#endif
inline enter(k) {
    if
    :: there && may_begin ->
        assert(!deleting);                              /* an instance's delete is begun once */
        deleting = 1;
        if
        :: open(BUILD) && op[BUILD].owner == NOBODY -> end_row(BUILD, CANCELLED)
        :: open(BUILD) && op[BUILD].owner != NOBODY -> op[BUILD].cancel = 1
        :: !open(BUILD)
        fi;
        op[DELETE(k)].state = QUEUED; op[DELETE(k)].step = DESTROY
    :: else
    fi
}

/* operations.exists, in the same transaction: what carry knows its delete by */
#ifdef M_OTHER_UUID
#define is_there(k) false
#else
#define is_there(k) (op[DELETE(k)].state != ABSENT)
#endif

/* -------------------------------------------------------------------------------------------------------- the cell */

proctype outage() {
end_idle:
    do
    :: atomic { !away && outages -> outages--; away = 1 }
    :: atomic { away -> away = 0 }
    :: atomic { !away && late[0] -> late[0] = 0; if :: enter(0) :: true fi }
    :: atomic { !away && late[1] -> late[1] = 0; if :: enter(1) :: true fi }
    od
}

/* ---------------------------------------------------------------------------------------------------- requests.delete */

inline api_alive() {
    if :: crashes && !died[0] -> crashes--; died[0] = 1; goto killed :: true fi
}

proctype deleter(byte k) {
    atomic {                    /* Requests._place */
        if
        :: !place -> goto answered                      /* 404 */
        :: place && wanted -> accepted = 1; goto answered
        :: place && !wanted
        fi
    }
    atomic {                    /* Cells.change: one transaction in the cell, or no answer */
        api_alive();
        if
        :: !away -> if :: there -> accepted = 1 :: else fi; enter(k); goto answered
        :: away -> late[k] = 1
        fi
    }
    atomic {                    /* Requests._want_delete */
        api_alive();
#ifdef M_PLAIN_WANT
        if :: !place -> goto answered :: place fi;
#else
        if :: !place || wanted -> accepted = 1; goto answered :: place && !wanted fi;
#endif
        wanted = 1;
#ifdef M_WANT_ALONE
    }
    atomic {
        api_alive();
#endif
        assert(!open(WANTED(1 - k)));                   /* a delete is recorded once */
        op[WANTED(k)].state = QUEUED; op[WANTED(k)].step = CARRY;
        accepted = 1
    }
answered:
killed:
    skip
}

/* -------------------------------------------------------------------------------------------------------- conductors */

inline alive() {
    if :: crashes && !died[me] -> crashes--; died[me] = 1; held[me] = 0; goto out :: true fi
}

/* A cell that is away: the step is left as it is, until somebody takes it again when the lease has run out. */
inline reach() { alive(); if :: away -> goto out :: !away fi }

proctype conductor(byte me) {
    byte i, mine;
    bit mine_there, found;

end_idle:
    atomic {
        if
        :: free(WANTED(0)) -> i = WANTED(0)
        :: free(WANTED(1)) -> i = WANTED(1)
        :: free(DELETE(0)) && conducted(DELETE(0)) -> i = DELETE(0)
        :: free(DELETE(1)) && conducted(DELETE(1)) -> i = DELETE(1)
        fi;
        take(i);
        if :: i < BUILD -> goto carry :: i > BUILD -> goto finish fi
    }

carry:          /* delete.carry */
    atomic {
        alive();
        if :: !place -> goto no_place :: place fi
    }
#ifdef M_ROW_FIRST
    atomic { alive(); if :: holds(i) -> end_row(i, ABSENT); op[i].attempt = 0 :: else -> goto out fi }
#endif
    atomic {    /* one transaction in the cell */
        alive();
        if
        :: away -> late[i] = 1; goto no_answer
        :: !away -> found = there; enter(i); mine_there = is_there(i)
        fi
    }
    atomic {
        alive();
        if
        :: !found && !mine_there -> goto later          /* another delete has removed it since the place was read */
        :: found && !mine_there -> goto no_place        /* another delete does it: this one has nothing to do */
        :: mine_there
        fi;
#ifndef M_ROW_FIRST
#ifdef M_NO_FENCE_CARRY
        if
        :: op[i].state == RUNNING
#else
        if
        :: holds(i)
#endif
            -> assert(holds(i));                        /* nobody removes an operation that another has */
            end_row(i, ABSENT); op[i].attempt = 0
        :: else
        fi;
#endif
        goto out
    }

no_place:       /* Outcome() */
    atomic {
        alive();
        if
        :: holds(i) ->
            assert(!place || !open(DELETE(i)));         /* what the API database calls done is not open in the cell */
            end_row(i, DONE)
        :: else
        fi;
        goto out
    }

no_answer:      /* again after a while: the cell has been away, which counts as progress */
progress:
    skip;
later:
    atomic {    /* attempt is counted back so that the model stays finite: nobody else has this one */
        alive(); if :: holds(i) -> op[i].state = QUEUED; op[i].owner = NOBODY; op[i].attempt-- :: else fi;
        goto out
    }

finish:         /* delete.finish */
    atomic { alive(); place = 0 }
    atomic {
        reach(); if :: holds(i) -> there = 0; lives = 0; deleting = 0; end_row(i, DONE) :: else fi
    }
out:
    atomic { held[me] = 0; mine = 0; i = 0; mine_there = 0; found = 0; goto end_idle }
}

/* ------------------------------------------------------------------------------------------------------- the compute */

proctype compute() {
    byte me = 3, i, mine;

end_idle:
    atomic {
        if
        :: free(BUILD) -> i = BUILD
        :: free(DELETE(0)) && !conducted(DELETE(0)) -> i = DELETE(0)
        :: free(DELETE(1)) && !conducted(DELETE(1)) -> i = DELETE(1)
        fi;
        take(i);
        if :: i == BUILD && !op[i].cancel -> goto spawn :: i == BUILD && op[i].cancel -> goto cancel_it :: else fi
    }
    atomic { alive(); guest = 0 }
    atomic {
        reach(); if :: holds(i) -> op[i].state = QUEUED; op[i].step = FINISH; op[i].owner = NOBODY :: else fi;
        goto out
    }
spawn:
    atomic { alive(); assert(there); guest = 1 }        /* no guest is made for an instance that is gone */
    atomic {
        reach();
        if
        :: !holds(i) -> goto out
        :: holds(i) && op[i].cancel
        :: holds(i) && !op[i].cancel ->
            assert(!deleting);                          /* an accepted delete never comes back to life */
            lives = 1; end_row(i, DONE); goto out
        fi
    }
cancel_it:
    atomic {
        reach(); if :: op[i].state == RUNNING && op[i].attempt == mine -> end_row(i, CANCELLED) :: else fi
    }
out:
    atomic { held[me] = 0; mine = 0; i = 0; goto end_idle }
}

proctype monitor() {
    timeout -> d_step {         /* nothing can happen any more */
        assert(!open(WANTED(0)) && !open(WANTED(1)) && !open(BUILD));       /* every operation has ended */
        assert(!open(DELETE(0)) && !open(DELETE(1)));                       /* every delete has ended */
        assert(!accepted || !place);                    /* an accepted delete was carried out */
        assert(!wanted || !place);                      /* a delete that was wanted was carried out */
        assert(there == place);                         /* place and instance name each other */
        assert(guest == (there && lives))             /* a guest where one should run, no other */
    }
}

init {
    atomic {
        op[BUILD].state = QUEUED; op[BUILD].step = SPAWN;
        run conductor(1); run conductor(2); run compute(); run outage(); run deleter(0); run deleter(1); run monitor()
    }
}
