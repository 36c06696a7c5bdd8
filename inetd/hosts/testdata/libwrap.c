/*
 * libwrap answers questions as the library of tcpd(8) does. It reads a question
 * per line, fields separated by tabs: hosts.allow, hosts.deny, daemon, user, name
 * and address of the client, name and address of the server. It writes a line for
 * each: "granted", "denied" or "twist", and what the options of the rule did, each
 * behind a tab. Where the library would change this process, a function of its
 * name stands here and notes that.
 */
#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <syslog.h>
#include <tcpd.h>
#include <unistd.h>

static char noted[16384];
static jmp_buf twisted;
static pid_t self;

static void note(const char *format, ...)
{
	va_list ap;
	size_t n = strlen(noted);

	va_start(ap, format);
	vsnprintf(noted + n, sizeof noted - n, format, ap);
	va_end(ap);
}

void shell_cmd(char *command) { note("\tspawn %s", command); }

int nice(int add) { note("\tnice %d", add); return 0; }

mode_t umask(mode_t mask) { note("\tumask %o", mask); return 0; }

int setenv(const char *name, const char *value, int overwrite)
{
	note("\tenv %s=%s", name, value);
	return 0;
}

int setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
	if (name == SO_LINGER)
		note("\tlinger %d", ((const struct linger *)value)->l_onoff ? ((const struct linger *)value)->l_linger : 0);
	else
		note("\tkeepalive");
	return 0;
}

int setuid(uid_t uid) { return 0; }
int setgid(gid_t gid) { return 0; }
int setgroups(size_t n, const gid_t *list) { return 0; }
int initgroups(const char *user, gid_t gid) { return 0; }
int close(int fd) { return 0; }
int dup(int fd) { static int next; return next++ % 3; } /* 0, 1, 2: of twist */

int execl(const char *path, const char *arg, ...)
{
	va_list ap;
	char *command;

	if (getpid() != self) /* the child of aclexec */
		_exit(0);
	va_start(ap, arg);
	va_arg(ap, char *);
	command = va_arg(ap, char *);
	note("\ttwist %s", command);
	va_end(ap);
	longjmp(twisted, 1);
}

/* "problem" is a message of the library's but for that of twist. */
static void vlog(int priority, const char *format, va_list ap)
{
	char text[1024];

	if (!strncmp(format, "twist ", 6))
		return;
	vsnprintf(text, sizeof text, format, ap);
	for (char *c = text; *c; c++)
		if (*c == '\t' || *c == '\n')
			*c = ' ';
	note("\tproblem %s", text);
}

void __vsyslog_chk(int priority, int flag, const char *format, va_list ap) { vlog(priority, format, ap); }
void vsyslog(int priority, const char *format, va_list ap) { vlog(priority, format, ap); }

void __syslog_chk(int priority, int flag, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	vlog(priority, format, ap);
	va_end(ap);
}

/* address fills in an address and a port. */
static void address(struct sockaddr_storage *to, const char *text, int port)
{
	struct sockaddr_in *four = (struct sockaddr_in *)to;
	struct sockaddr_in6 *six = (struct sockaddr_in6 *)to;

	memset(to, 0, sizeof *to);
	if (inet_pton(AF_INET, text, &four->sin_addr) == 1) {
		four->sin_family = AF_INET;
		four->sin_port = htons(port);
	} else if (inet_pton(AF_INET6, text, &six->sin6_addr) == 1) {
		six->sin6_family = AF_INET6;
		six->sin6_port = htons(port);
	} else {
		fprintf(stderr, "%s is no address\n", text);
		exit(1);
	}
}

int main(void)
{
	static char line[16384];

	self = getpid();
	while (fgets(line, sizeof line, stdin)) {
		char *field[8], *rest = line;
		struct sockaddr_storage client, server;
		struct request_info request;
		const char *verdict;

		line[strcspn(line, "\n")] = 0;
		for (int i = 0; i < 8; i++)
			if (!(field[i] = strsep(&rest, "\t"))) {
				fprintf(stderr, "a question has 8 fields\n");
				return 1;
			}
		hosts_allow_table = field[0];
		hosts_deny_table = field[1];
		address(&client, field[5], 1024);
		address(&server, field[7], 22);
		request_init(&request, RQ_FILE, 3, RQ_DAEMON, field[2], RQ_USER, field[3],
			RQ_CLIENT_NAME, field[4], RQ_CLIENT_ADDR, field[5], RQ_CLIENT_SIN, &client,
			RQ_SERVER_NAME, field[6], RQ_SERVER_ADDR, field[7], RQ_SERVER_SIN, &server, 0);
		noted[0] = 0;
		resident = -1;
		allow_severity = deny_severity = -1;
		if (setjmp(twisted))
			verdict = "twist";
		else
			verdict = hosts_access(&request) ? "granted" : "denied";
		if (allow_severity != -1)
			note("\tseverity %d", allow_severity);
		printf("%s%s\n", verdict, noted);
	}
	return 0;
}
