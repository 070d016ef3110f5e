//! The life of a login: log in, refresh, retry, replay, revoke. What happens in which order, and why in that order.
//!
//! # Log in
//!
//! 1. The time is taken. It becomes `auth_time`.
//! 2. The client is authenticated, and asked whether it may log users in. One that may not costs no hash.
//! 3. The account is read and the password hashed. An unknown user costs the same hash.
//! 4. [`login::decide`](crate::grant::login::decide) decides.
//! 5. The access token is signed and the refresh token sealed: family, generation 0, the whole grant, the family's end.
//!
//! Nothing is written. A family without an entry is a family whose generation 0 is live, so a million people who log in
//! and never come back cost no memory. The time comes first because the hash is slow: if the password changes, or an
//! admin logs the user out everywhere, while the hash runs, that happened after `auth_time`, and the log-in ends at its
//! first refresh.
//!
//! Dates in tokens are whole seconds. What is authenticated in the same second as an epoch could have come before it or
//! after; both are over. So that nobody is handed a token that is dead on arrival, a log-in in that second is told to
//! come back in the next (503 with `Retry-After: 1`).
//!
//! # Refresh
//!
//! 1. *Refuse first.* The token is opened, the facts are read (family, epochs, user), and
//!    [`refresh_token::decide`](crate::grant::refresh_token::decide) refuses everything that is certain to be refused.
//! 2. *Sign and hold.* The access token is signed, and the successor (generation n+1, same family, same end) is sealed.
//!    If the signer or the system's randomness fails here, the answer is 503 and the presented token still works.
//! 3. *Commit.* [`Store::rotate`](crate::store::Store::rotate) compares epochs, revocation and generation and moves
//!    the generation from n to n+1, in one critical section, and answers when that is lasting. This is the moment of
//!    truth; what was read in step 1 was a prediction.
//! 4. *Release.* [`refresh_token::settle`](crate::grant::refresh_token::settle) reads the verdict. Only now do the
//!    tokens leave.
//!
//! The other orders lose something. Commit before signing, and a signer that fails burns the token. Release before
//! committing, and a crash leaves two live tokens. Check in one step and move in another, and two requests both
//! pass the check.
//!
//! After a refused refresh the token is as good as before, unless it was a replay. A scope that is too wide, a
//! disabled user, an audience that was withdrawn: correct the cause, and the same token works.
//!
//! # Retry
//!
//! An answer gets lost, two tabs wake up together, a proxy sends a request twice. The client then presents generation n
//! when n+1 is live. That is answered with n+1 *again*, under all of these conditions:
//!
//! * n is the generation immediately before the live one. If the successor was used, n+2 is live, and n is too old: the
//!   retry ends with the first use of what it would give.
//! * The window since the rotation (`refresh.retry_window`, default 10 s, 0 switches retries off) is not over.
//! * The family is not revoked: a retry never brings back what was taken away.
//! * The budgets are not used up: 64 retries of a generation, 1,000 retried generations of a family a day.
//! * The client authenticates as before, and the token is its own.
//!
//! The successor is not stored for that. It is a number: sealing (family, n+1) a second time gives another text with the
//! same meaning. So all answers of one window hold the *same* generation, and there is no fork: whichever of them is
//! used first moves the family on for all.
//!
//! # Replay
//!
//! Any other token of the family's past revokes the whole family: thief or victim, nobody can tell, so both lose, and
//! the victim logs in again (RFC 9700 section 4.14.2). Two presentations hurt nobody, though: a token in another client's
//! hands (RFC 6749 section 6) and a token of a family that has ended are refused without a trace in the state.
//!
//! A generation *above* the live one cannot come from a whole state, since the number is recorded before the token
//! leaves. It means that the state was lost: the memory store of `dev` was restarted. Then nobody can tell the newest
//! token from one that was stolen and rotated away last week. It is refused like a replay. A memory store in a server
//! also refuses every token of a log-in before its own start
//! ([`Settings::knows_since`](crate::store::Settings::knows_since)), for generation 0 of such a family may have been
//! used up before. The durable store remembers, and has neither trouble.
//!
//! # Revoke
//!
//! A revoked family has an entry that says so, until the family would have ended anyway. *Log out everywhere* moves the
//! subject's epoch: every login at or before that second is over, at the cost of one entry, whatever was issued. The
//! client's epoch does the same for a client.
//!
//! The store takes the family's lock for a revocation as it does for a rotation, and a rotation holds the epochs still
//! while it moves. So each rotation is either before the revocation, or after it and refused: once the revocation is
//! acknowledged, no refresh is granted for what it revoked. Access tokens that are out by then end at their `exp`, or
//! at once for whoever asks introspection or reads the feed.
//!
//! # A clock that goes back
//!
//! The store never decides with an earlier time than it has used before. A clock set back therefore reopens no window
//! and revives no bucket that was dropped, and everything else in the gateway decides with the same time: an access token
//! that has ended stays so at `/verify` and `/introspect`, and *log out everywhere* reaches the log-ins of the hour that
//! the clock wants to live twice. Within the tolerance (10 s) time simply stands still. If the clock is further behind,
//! nothing is issued, by any grant: the answer is 503 with `Retry-After`, readiness is red and says `clock_behind`, the
//! log has one line when it begins and one when it ends. A window that stands still stays open, and a token's `exp`
//! would be as wrong as the clock. Verifying and revoking go on.
//!
//! The durable store writes the time down with every batch, and once a minute when there is none, so the same holds over
//! a restart: a machine that comes back with yesterday's clock is not ready until it has today's. What is left is the
//! last minute before a crash: a clock that is set back by less than that, at that very moment, may live it again, and
//! with it an access token that ended in it or a retry window.
//!
//! If it was the *earlier* reading that was wrong, say a machine that started in the year 2036, the record is in the
//! future and waiting will not help. The record is in the state's log: stop the gateway, move `state.redb` away, start.
//! Then every log-in from before has to be made again, and an access token that was revoked is good until its own end.
//!
//! # A crash, and a disk that fails
//!
//! The verdict is made in memory, under the family's lock, and put into the commit queue under the same lock; it is
//! answered when its batch is on disk. Between the two a crash takes both back: nobody was told. Whoever saw the change in
//! memory meanwhile, a retry for example, waits for the same batch or a later one, and batches are written in
//! order; so what anybody was told never rests on something that can still be lost.
//!
//! A change whose caller was told nothing may be on disk or not. The caller asks again with the token it has: it is
//! either live, or the one before the live one, in time.
//!
//! A write or a sync that fails is not tried again: the system may have dropped the very pages it could not write, and
//! would call the next sync a success. The store takes nothing any more, refresh and revocation answer 503, readiness
//! is red and the log says why; what needs no change goes on. A start reads the log again and heals that. After a
//! failed sync that start may read pages that the system still has and the disk has not, which no program can see: look
//! after the disk first.
//!
//! # What bounds a thief who is quick
//!
//! Rotation catches a thief because sooner or later thief and victim present the same generation at different times.
//! The retry window is a hole in that: a thief who holds the live token and always refreshes within the window of the
//! victim's own refreshes gets the same successor the victim gets, and the chain goes on with both of them on it. Be
//! honest about what bounds this thief:
//!
//! * *Timing.* He must hit the window after every single rotation, or be ahead of the victim by less than it. The
//!   first time he is later than the window, or the victim is, the family dies. At a refresh every five minutes and a
//!   window of ten seconds that leaves him one thirtieth of the time, 288 times a day. A thief who reads along on the
//!   client's own machine can do that; but he can also read every next token there, and no server can tell him apart.
//! * *The day's budget.* Each refresh the two share is one retried generation. At `per_day_max` (1,000) in a UTC day
//!   the family is revoked; around midnight it can be twice as many. That stops a pair who share faster than every 86
//!   seconds. It does not stop a thief who keeps to the victim's own pace of one refresh in five minutes: that is 288 a
//!   day, exactly what two honest tabs cost that wake up together, and those must not be logged out. Where clients have
//!   one tab, lower it: at 20 the thief has under two hours. The counts are in memory only; a restart sets them to zero.
//! * *The absolute end.* The family ends at its appointed time, however it is used.
//! * *Revocation.* Log-out, a changed password and the epochs end thief and victim alike.
//! * *The client's authentication.* A confidential client's token is worth nothing without the client's secret. For
//!   public clients nothing proves who presents the token until it is bound to a key (DPoP); for them a window of 0
//!   closes the hole, at the price that a lost answer logs the user out.
//!
//! What does *not* bound him: the retries of one generation. They only keep one token from being turned into an endless
//! stream of access tokens within its window.
