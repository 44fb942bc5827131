/* SPDX-License-Identifier: Apache-2.0 */
#include "oci-hook/volume-plugin/http.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <microhttpd.h>

#include "driver/base/log.h"
#include "oci-hook/quote.h"
#include "oci-hook/volume-plugin/ask.h"
#include "oci-hook/volume-plugin/calls.h"

#define HTTP_TYPE "application/vnd.docker.plugins.v1.1+json"
#define HTTP_MEMORY_MAX (32u << 10) /* of a connection: its headers */
#define HTTP_LOG_SIZE 256

/* One request, while its body comes. */
struct http_request {
	size_t size;
	bool too_large;
	char body[ASK_TEXT_MAX];
};

static enum MHD_Result http_answer(struct MHD_Connection *connection, unsigned int status,
				   struct json_object *reply)
{
	static const int flags = JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE;
	static const char no_memory[] = "{\"Err\":\"there is no memory\"}";
	const char *text = reply ? json_object_to_json_string_ext(reply, flags) : no_memory;
	struct MHD_Response *response;
	enum MHD_Result r;

	response = MHD_create_response_from_buffer(strlen(text), (void *)(uintptr_t)text,
						   MHD_RESPMEM_MUST_COPY);
	if (!response)
		return MHD_NO;
	MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, HTTP_TYPE);
	if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
		MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, MHD_HTTP_METHOD_POST);
	r = MHD_queue_response(connection, reply ? status : 500, response);
	MHD_destroy_response(response);
	return r;
}

static enum MHD_Result http_refuse(struct MHD_Connection *connection, unsigned int status,
				   const char *why)
{
	auto_json struct json_object *reply = json_object_new_object();

	if (reply)
		json_object_object_add(reply, "Err", json_object_new_string(why));
	return http_answer(connection, status, reply);
}

/* Its headers are there. */
static enum MHD_Result http_begin(struct MHD_Connection *connection, const char *method,
				  void **state)
{
	struct http_request *q;

	if (strcmp(method, MHD_HTTP_METHOD_POST) != 0)
		return http_refuse(connection, MHD_HTTP_METHOD_NOT_ALLOWED, "calls are POSTed");
	q = malloc(sizeof(*q));
	if (!q)
		return MHD_NO;
	q->size = 0;
	q->too_large = false;
	*state = q;
	return MHD_YES;
}

static void http_more(struct http_request *q, const char *bytes, size_t size)
{
	q->too_large |= size > sizeof(q->body) - q->size;
	if (q->too_large)
		return;
	memcpy(q->body + q->size, bytes, size);
	q->size += size;
}

/* MHD_AccessHandlerCallback: once for the headers, for each part of the body, and at its end. */
static enum MHD_Result http_access(void *arg, struct MHD_Connection *connection, const char *url,
				   const char *method, const char *version, const char *bytes,
				   size_t *size, void **state)
{
	const struct plugin *plugin = arg;
	struct http_request *q = *state;
	auto_json struct json_object *reply = NULL;
	unsigned int status = MHD_HTTP_INTERNAL_SERVER_ERROR;

	if (!q)
		return http_begin(connection, method, state);
	if (*size) {
		http_more(q, bytes, *size);
		*size = 0;
		return MHD_YES;
	}
	if (q->too_large)
		return http_refuse(connection, 413, "the request is too long");
	reply = calls_serve(plugin, url, q->body, q->size, &status);
	return http_answer(connection, status, reply);
}

/* MHD_RequestCompletedCallback. */
static void http_end(void *arg, struct MHD_Connection *connection, void **state,
		     enum MHD_RequestTerminationCode how)
{
	free(*state);
	*state = NULL;
}

/* What the library complains of, such as who hung up: what strangers cause is no warning. */
__attribute__((format(printf, 2, 0))) static void http_log(void *arg, const char *format,
							   va_list ap)
{
	char line[HTTP_LOG_SIZE], words[2 * HTTP_LOG_SIZE];

	vsnprintf(line, sizeof(line), format, ap);
	line[strcspn(line, "\n")] = '\0';
	log_info("http: %s", quote_text(words, sizeof(words), line));
}

int http_start(struct MHD_Daemon **ret, int listen_fd, const struct plugin *plugin, struct err *e)
{
	*ret = MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_THREAD_PER_CONNECTION |
					MHD_USE_POLL | MHD_USE_ERROR_LOG,
				0, NULL, NULL, http_access, (void *)(uintptr_t)plugin,
				MHD_OPTION_EXTERNAL_LOGGER, http_log, NULL,
				MHD_OPTION_LISTEN_SOCKET, listen_fd, MHD_OPTION_CONNECTION_LIMIT,
				(unsigned int)HTTP_CONNECTIONS_MAX, MHD_OPTION_CONNECTION_TIMEOUT,
				(unsigned int)HTTP_SILENCE_S, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
				(size_t)HTTP_MEMORY_MAX, MHD_OPTION_NOTIFY_COMPLETED, http_end,
				NULL, MHD_OPTION_END);
	return *ret ? 0 : err_set(e, EIO, "cannot serve the socket: its threads cannot be made");
}

void http_stop(struct MHD_Daemon *http)
{
	MHD_stop_daemon(http);
}
